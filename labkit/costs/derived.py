"""From what one round timed to what the constants are: the rest of a time beyond known parts."""

Values = dict[str, float]


def derive(timed: Values) -> Values:
    """The constants of one round, from what it timed.

    Args:
        timed: names as `labkit.costs.probes` gives them; those that begin with _ are raw counts
            and times, which turn into constants here.
    """
    found = {name: value for name, value in timed.items() if not name.startswith("_")}
    found["clock_read"] = found.pop("read_clock")
    null = found["null_call"]
    for name in list(found):
        kind, _, rest = name.partition("/")
        if kind in ("fill", "check"):
            found[name] /= int(rest)
        elif kind == "send_to_self":
            calls = found.get(f"calls_to_self/{rest}", 0.0)
            found[f"own_work/{rest}"] = max(0.0, found[name] - calls * null)
    if switches := timed.get("_yield_switches"):
        turning = timed["_yield_ns"] - timed["_yields"] * null
        found["switch"] = max(0.0, turning / switches)
    call = (found["futex_wake"] + found["futex_wait"]) / 2
    if timed.get("_futex_sleeps"):
        known = timed["_futex_calls"] * call + timed["_futex_switches"] * found.get("switch", 0.0)
        rest_ns = timed["futex_round_trip/same-cpu"] - known
        found["wake/same-cpu"] = max(0.0, rest_ns / timed["_futex_sleeps"])
    if "_woken_ns" in timed:
        found["wake/cross-cpu"] = max(0.0, timed["_woken_ns"] - found["futex_wake"])
    for name in timed:
        kind, _, size = name.partition("/")
        if kind in ("_copy_in_cross", "_copy_out_cross"):
            found[name[1:]] = max(0.0, timed[name] - found["clock_read"]) / int(size)
    return found
