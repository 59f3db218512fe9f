"""A class's runs: found in whatever folders and zips, refused by name, pooled, drawn, read on."""

import io
import json
import os
import re
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import made_up
import pandas as pd
import pyarrow.parquet as pq
import pytest
from matplotlib.text import Text

import labkit
from labkit import plots
from labkit.cli import main
from labkit.errors import RequestError
from labkit.harness import handed_in
from labkit.harness.cohort import COHORT_COLUMNS, Cohort, pool, tag
from labkit.harness.request import Cell
from labkit.harness.run import Run, load
from labkit.harness.statistics import SUMMARY_COLUMNS, summarise

CLASS_MD = (Path(__file__).parents[1] / "data" / "class.md").read_text(encoding="utf-8")
MACHINE: dict[str, Any] = {
    "cpu_model": "AMD Ryzen 7 PRO 5850U with Radeon Graphics",
    "architecture": "x86_64",
    "cpus_online": [0, 1, 2, 3],
    "kernel": "6.1.0",
    "virtual_machine": "KVM",
    "container": None,
    "memory_bytes": 16_000_000_000,
    "libraries": {"labkit": "0.1.0"},
}


def made(folder: Path, number: int = 0, **machine: Any) -> Path:
    """A saved run; others by their number, on another machine by its facts."""
    times = [(5000 + i / 7) * (1 + number / 100) for i in range(7)]
    samples = made_up.samples([made_up.sample(repeat=i, ns=ns) for i, ns in enumerate(times)])
    missing = [
        Cell("fifo", "kernel", "throughput", "free", "copy", "ends", "compiled", 1 << 20),
        Cell("tcp", "kernel", "latency", "same-cpu", "copy", "ends", "compiled", 8),
    ]
    outcomes = [
        made_up.outcome(),
        made_up.outcome(missing[0], status="skipped", reason='it was refused, "too long".'),
        made_up.outcome(missing[1], status="failed", reason="the consumer died at message 3."),
    ]
    facts = MACHINE | {"started": str(number)} | machine
    return Run(summarise(samples, outcomes), samples, facts).save(folder)


def zipped(folder: Path, inside: str = "my run") -> bytes:
    """A run's folder as a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside}/{file.name}" if inside else file.name)
    return out.getvalue()


@pytest.fixture
def handed(tmp_path: Path) -> Path:
    folder = tmp_path / "handed in"
    folder.mkdir()
    return folder


def pooled(folder: Path, out: Path | None = None) -> Cohort:
    return pool(folder, folder.parent / "class.parquet" if out is None else out)


class TestFinding:
    def test_runs_in_folders_and_zips_with_odd_names(self, handed: Path, tmp_path: Path) -> None:
        made(handed / "Łukasz, Ö_12345_assignsubmission_file" / "run (1)", 1)
        (handed / "O'Neil \n-rf;.ZIP").write_bytes(zipped(made(tmp_path / "2", 2), inside=""))
        outer = io.BytesIO()
        with zipfile.ZipFile(outer, "w") as archive:
            archive.writestr("late/深/a.zip", zipped(made(tmp_path / "3", 3)))
            archive.writestr("__MACOSX/late/深/._a.zip", b"resource fork")
            archive.writestr("windows\\style/run/.DS_Store", b"")
        (handed / "everybody.zip").write_bytes(outer.getvalue())
        (handed / "notes.txt").write_text("nothing")
        (handed / ".labkit-unfinished").mkdir()
        (handed / ".labkit-unfinished" / "summary.csv").write_text("")
        found = pooled(handed)
        assert found.refused == []
        assert len(found.runs) == 3
        assert all(name.isprintable() for name in found.runs["found"])
        assert len(found.table) == 9

    def test_one_zip_will_do(self, handed: Path, tmp_path: Path) -> None:
        archive = handed / "all.zip"
        archive.write_bytes(zipped(made(tmp_path / "1")))
        assert len(pooled(archive, tmp_path / "out.parquet").runs) == 1

    def test_the_same_run_counts_once(self, handed: Path, tmp_path: Path) -> None:
        made(handed / "a")
        (handed / "b.zip").write_bytes(zipped(handed / "a"))
        found = pooled(handed)
        assert len(found.runs) == 1
        assert len(found.refused) == 1
        assert "the same run as" in found.refused[0][1]
        assert found.damaged == 0

    def test_nothing_there(self, handed: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.parquet"
        for place, why in [
            (handed, "no run is in"),
            (tmp_path / "no", "cannot be read"),
            (Path("a\0b"), "cannot be read"),
        ]:
            with pytest.raises(RequestError, match=why):
                pool(place, out)
        (handed / "bad.zip").write_bytes(b"PK")
        with pytest.raises(RequestError, match=r"could be used; the first was bad\.zip"):
            pool(handed, out)
        made(handed / "a")
        for target in (handed, tmp_path / "no" / "out.parquet", tmp_path / "\0"):
            with pytest.raises(RequestError):
                pool(handed, target)
        assert not out.exists()
        assert sorted(os.listdir(tmp_path)) == ["handed in"]


class TestRefusing:
    """What is damaged or hostile is refused by its name; the good run beside it is used."""

    def refused(self, handed: Path, name: str) -> str:
        made(handed / "zz good", 7)
        before = set(handed.parent.rglob("*"))
        found = pooled(handed)
        after = set(handed.parent.rglob("*"))
        assert after - before == {found.path}, "something was unpacked"
        assert list(found.runs["found"]) == ["zz good"]
        assert [where for where, _ in found.refused] == [name]
        assert found.damaged == 1
        return found.refused[0][1]

    @pytest.mark.parametrize(
        "name",
        [
            "../../evil/summary.csv",
            "/etc/summary.csv",
            "a/../../b/machine.json",
            "..\\evil\\summary.csv",
            "C:\\summary.csv",
        ],
    )
    def test_names_that_lead_out(self, handed: Path, name: str) -> None:
        with zipfile.ZipFile(handed / "slip.zip", "w") as archive:
            archive.writestr(name, b"x")
        assert "leads out of it" in self.refused(handed, "slip.zip")

    def test_a_bomb(self, handed: Path) -> None:
        with zipfile.ZipFile(handed / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("run/machine.json", "{}")
            with archive.open("run/summary.csv", "w") as file:
                for _ in range(handed_in.MOST_BYTES // (1 << 20) + 1):
                    file.write(b"0" * (1 << 20))
        assert "more than a run has" in self.refused(handed, "bomb.zip/run")

    def test_a_bomb_that_lies_about_its_size(self, handed: Path) -> None:
        made_zip = io.BytesIO()
        with zipfile.ZipFile(made_zip, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("run/machine.json", "{}")
            archive.writestr("run/summary.csv", b"0" * (handed_in.MOST_BYTES + (1 << 20)))
        data = bytearray(made_zip.getvalue())
        size = struct.pack("<I", handed_in.MOST_BYTES + (1 << 20))
        while (at := data.find(size)) >= 0:  # in the local header and in the directory
            data[at : at + 4] = struct.pack("<I", 1000)
        (handed / "liar.zip").write_bytes(data)
        assert self.refused(handed, "liar.zip/run")

    def test_archives_without_end(self, handed: Path, tmp_path: Path) -> None:
        inner = zipped(made(tmp_path / "inner", 3))
        name = "deep.zip"
        for _ in range(handed_in.MOST_DEPTH):
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w") as archive:
                archive.writestr("x.zip", inner)
            inner = out.getvalue()
        (handed / name).write_bytes(inner)
        made(handed / "zz good", 7)
        found = pooled(handed)
        assert list(found.runs["found"]) == ["zz good"]
        assert "one inside the other" in found.refused[0][1]

    def test_too_many_members(self, handed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(handed_in, "MOST_MEMBERS", 3)
        with zipfile.ZipFile(handed / "many.zip", "w") as archive:
            for number in range(4):
                archive.writestr(str(number), b"")
        assert "holds 4 files" in self.refused(handed, "many.zip")

    def test_what_unpacks_to_too_much_in_all(
        self, handed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(handed_in, "MOST_UNPACKED", 5000)
        with zipfile.ZipFile(handed / "large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(6):
                archive.writestr(f"{number}/summary.csv", b"0" * 1000)
        assert "unpack to more" in self.refused(handed, "large.zip")

    def test_a_member_twice(self, handed: Path) -> None:
        with zipfile.ZipFile(handed / "twice.zip", "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2):
                archive.writestr("summary.csv", b"x")
        assert "twice" in self.refused(handed, "twice.zip")

    def test_no_zip_and_an_empty_one(self, handed: Path) -> None:
        (handed / "text.zip").write_text("hello")
        assert "no readable zip" in self.refused(handed, "text.zip")
        (handed / "text.zip").unlink()
        zipfile.ZipFile(handed / "empty.zip", "w").close()
        found = pooled(handed)
        assert found.refused == [("empty.zip", "no run is in it")]

    def test_a_damaged_zip(self, handed: Path, tmp_path: Path) -> None:
        data = bytearray(zipped(made(tmp_path / "1", 1)))
        for at in range(60, len(data) // 2):
            data[at] ^= 0x55
        (handed / "damaged.zip").write_bytes(data)
        made(handed / "zz good", 7)
        found = pooled(handed)
        assert list(found.runs["found"]) == ["zz good"]
        assert all(name.startswith("damaged.zip") for name, _ in found.refused)
        assert found.refused

    def test_an_encrypted_one(self, handed: Path, tmp_path: Path) -> None:
        data = bytearray(zipped(made(tmp_path / "1", 1)))
        at = 0
        while (at := data.find(b"PK\x01\x02", at)) >= 0:  # each entry of the directory
            data[at + 8] |= 1
            at += 4
        (handed / "secret.zip").write_bytes(data)
        assert "is encrypted" in self.refused(handed, "secret.zip/my run")

    def test_a_link_in_a_zip(self, handed: Path) -> None:
        with zipfile.ZipFile(handed / "link.zip", "w") as archive:
            archive.writestr("machine.json", "{}")
            link = zipfile.ZipInfo("summary.csv")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        assert "is a link" in self.refused(handed, "link.zip")

    def test_links_and_pipes_in_a_folder(self, handed: Path, tmp_path: Path) -> None:
        bad = made(handed / "bad", 1)
        (bad / "summary.csv").unlink()
        (bad / "summary.csv").symlink_to("/etc/passwd")
        assert "cannot be read" in self.refused(handed, "bad")
        (bad / "summary.csv").unlink()
        os.mkfifo(bad / "summary.csv")
        found = pooled(handed)
        assert found.refused == [("bad", "summary.csv is no ordinary file")]

    @pytest.mark.parametrize(
        ("file", "old", "new", "why"),
        [
            ("summary.csv", "\npipe,", "\npipe,x,", "row 1 has"),
            ("summary.csv", "mechanism,", "animal,", "lacks the column mechanism"),
            ("summary.csv", ",ok,", ",fine,", "a status is not one of"),
            ("summary.csv", "pipe,", "pi\x07pe,", "cannot be shown"),
            ("summary.csv", "True", "maybe", "not always True or False"),
            ("summary.csv", ",64,", ",-64,", "not a positive number"),
            ("summary.csv", ",64,", ",inf,", "infinite"),
            ("summary.csv", ",64,", ",64.5,", "no whole number"),
            ("summary.csv", "pipe", "\xff", "not text"),
            ("machine.json", '"format": 1', '"format": 99', "newer labkit"),
            ("machine.json", "{", "[", "not JSON"),
            ("machine.json", '"summary.csv": 3', '"summary.csv": 4', "cut off"),
        ],
    )
    def test_a_damaged_run(self, handed: Path, file: str, old: str, new: str, why: str) -> None:
        path = made(handed / "bad", 1) / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_bytes(text.replace(old, new, 1).encode("latin-1"))
        assert why in self.refused(handed, "bad")

    @pytest.mark.parametrize("file", ["summary.csv", "machine.json"])
    def test_an_incomplete_one(self, handed: Path, file: str) -> None:
        (made(handed / "half", 1) / file).unlink()
        assert self.refused(handed, "half") == f"{file} is missing"


class TestTag:
    def test_is_short_and_made_of_facts(self) -> None:
        name = tag(MACHINE)
        assert name.startswith("amd-ryzen-7-pro-4cpu-kvm-")
        assert len(name) < 50
        assert tag(MACHINE | {"started": "later", "load_average": [1], "settings": {}}) == name
        for change in ({"kernel": "6.2"}, {"cpus_online": [0]}, {"memory_bytes": 8e9}):
            assert tag(MACHINE | change) != name

    @pytest.mark.parametrize(
        "machine",
        [
            {},
            {"cpu_model": None},
            {"cpu_model": "../../\n<b>"},
            {"cpus_online": 3, "wsl": 2},
            {"cpu_model": ["x"], "memory_bytes": "lots", "virtual_machine": {"a": 1}},
        ],
    )
    def test_of_odd_facts(self, machine: dict[str, Any]) -> None:
        assert set(tag(machine)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")

    def test_nothing_else_that_tells_of_a_person_is_kept(self, handed: Path) -> None:
        made(handed / "Jane Doe", 1, user="jane", hostname="janes-laptop")
        table = pooled(handed).table
        assert "jane" not in table.to_csv().lower()


class TestTable:
    def test_has_the_columns_of_the_dictionary(self, handed: Path) -> None:
        made(handed / "a", 1)
        table = pooled(handed).table
        assert list(table.columns) == [*COHORT_COLUMNS, *SUMMARY_COLUMNS]
        assert table["machine"].nunique() == 1
        saved = load(handed / "a").summary
        for column in SUMMARY_COLUMNS:
            mine, theirs = table[column], saved[column]
            assert mine.isna().tolist() == theirs.isna().tolist(), column
            assert mine.dropna().tolist() == theirs.dropna().tolist(), column

    def test_columns_in_another_order_are_put_right(self, handed: Path) -> None:
        path = made(handed / "a", 1) / "summary.csv"
        text = pd.read_csv(path, keep_default_na=False, dtype=str)
        text[text.columns[::-1]].to_csv(path, index=False)
        table = pooled(handed).table
        assert list(table.columns) == [*COHORT_COLUMNS, *SUMMARY_COLUMNS]
        assert list(table["mechanism"]) == list(text["mechanism"])

    def test_replaces_the_one_before_or_leaves_it(self, handed: Path, tmp_path: Path) -> None:
        out = tmp_path / "class.parquet"
        out.write_text("the one before")
        (handed / "bad.zip").write_text("hello")
        with pytest.raises(RequestError):
            pool(handed, out)
        assert out.read_text() == "the one before"
        made(handed / "a", 1)
        assert len(pool(handed, out).table) == 3
        assert sorted(os.listdir(tmp_path)) == ["class.parquet", "handed in"]

    def test_is_written_in_groups(
        self, handed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        from labkit.harness import cohort

        monkeypatch.setattr(cohort, "GROUP_ROWS", 5)
        for number in range(5):
            made(handed / str(number), number)
        found = pooled(handed)
        assert pq.ParquetFile(found.path).num_row_groups == 3
        assert len(found.table) == 15

    def test_is_read_by_dask_as_data_md_says(self, handed: Path, tmp_path: Path) -> None:
        """The very expressions of data/class.md, on several files with several row groups."""
        dask, dd = (pytest.importorskip(name) for name in ("dask", "dask.dataframe"))
        years = tmp_path / "cohorts"
        years.mkdir()
        for year in range(3):
            term = handed / str(year)
            for number in range(4):
                made(term / str(number), 4 * year + number, kernel=f"6.{number}")
            pool(term, years / f"{year}.parquet")
        runs = dd.read_parquet(str(years / "*.parquet"), split_row_groups=True)
        measured = runs[(runs.status == "ok") & (runs.pattern == "latency")]
        found = measured.groupby(["mechanism", "message_size"]).ns_per_message.mean()
        with dask.config.set(scheduler="synchronous"):
            lazily = found.compute()
        whole = pd.concat(pd.read_parquet(file) for file in sorted(years.glob("*.parquet")))
        whole = whole[(whole.status == "ok") & (whole.pattern == "latency")]
        at_once = whole.groupby(["mechanism", "message_size"]).ns_per_message.mean()
        assert len(whole) == 12
        assert lazily.to_dict() == pytest.approx(at_once.to_dict())
        assert 'dd.read_parquet("cohorts/*.parquet", split_row_groups=True)' in CLASS_MD


def test_the_dictionary_names_the_columns() -> None:
    assert re.findall(r"^\| `(\w+)` \|", CLASS_MD, re.MULTILINE) == list(COHORT_COLUMNS)


class TestFigure:
    @pytest.fixture
    def class_(self, handed: Path) -> Cohort:
        for number in range(6):
            made(handed / str(number), number, kernel=f"6.{number}")
        return pooled(handed)

    def said(self, picture: Any) -> str:
        return " ".join(t.get_text() for t in picture.findobj(Text) if isinstance(t, Text))

    def test_shows_each_machine_and_marks_ones_own(self, class_: Cohort) -> None:
        own = str(class_.machines.index[0])
        picture = plots.cohort(class_, own)
        assert "6 machines: round trips of 64 B" in self.said(picture)
        assert own in self.said(picture)
        assert "yours" in picture.alt_text
        assert "yours" not in plots.cohort(class_.path).alt_text
        assert "yours" in plots.cohort(class_, made_up.run()).alt_text

    def test_refuses_what_is_not_there(self, class_: Cohort, tmp_path: Path) -> None:
        for wrong, why in [
            ({"mine": "nobody"}, "no machine 'nobody'"),
            ({"pattern": "throughput"}, "there is latency"),
            ({"size": "4K"}, "64 B"),
        ]:
            with pytest.raises(RequestError, match=why):
                plots.cohort(class_, **wrong)
        other = tmp_path / "other.parquet"
        other.write_text("no")
        with pytest.raises(RequestError, match="labkit class makes that file"):
            plots.cohort(other)
        with pytest.raises(RequestError, match="cannot be read"):
            plots.cohort(tmp_path / "none")


class TestCommand:
    def test_pools_draws_and_says_so(
        self, handed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made(handed / "a", 1)
        out = tmp_path / "class.parquet"
        assert main(["class", str(handed), "--out", str(out), "--mine", str(handed / "a")]) == 0
        told = capsys.readouterr().out
        assert "1 run of 1 machine pooled, 3 rows." in told
        assert (tmp_path / "class-latency.png").is_file()
        assert "No figure of throughput" in told

    def test_says_what_was_refused_and_fails(
        self, handed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made(handed / "a", 1)
        (handed / "bad.zip").write_text("hello")
        out = str(tmp_path / "class.parquet")
        assert main(["class", str(handed), "--out", out]) == 1
        assert "Refused: bad.zip: it is no readable zip" in capsys.readouterr().out
        assert main(["class", str(tmp_path / "no"), "--out", out]) == 2
        assert capsys.readouterr().err.count("\n") == 1

    def test_from_python(self, handed: Path, tmp_path: Path) -> None:
        made(handed / "a", 1)
        assert len(labkit.pool(handed, tmp_path / "c.parquet").runs) == 1


def test_machine_facts_of_this_machine_have_a_tag(tmp_path: Path) -> None:
    from labkit.kernel import machine

    facts = machine.describe()
    assert tag(facts) == tag(json.loads(json.dumps(facts)))
