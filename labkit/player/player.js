// The player of a walkthrough. It takes the pictures from the stills that stand in its place, pairs
// the items of two steps by their id, and moves what differs. No library, no network, no globals
// but one map of players, which a second copy of this script shares.
(() => {
  "use strict";
  const LABKIT = __LABKIT__;
  const PLAYERS = Symbol.for("labkit.players");
  const MOVE_MS = 900;
  const READ_MS = { least: 4000, word: 320 };
  const MANY = 8;  // counts: as many are of two sides, which their picture shows, too
  const NUMBERS = ["x", "y", "width", "height", "rx", "cx", "cy", "r", "font-size"];
  const SVG = "http://www.w3.org/2000/svg";

  const ICONS = {
    back: "M15 4 6 12l9 8z",
    next: "m9 4 9 8-9 8z",
    play: "M7 4v16l13-8z",
    pause: "M6 4h4v16H6zm8 0h4v16h-4z",
  };
  const button = (name, words, keys) => `
    <button type="button" class="${name}" aria-keyshortcuts="${keys}">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[name]}"/></svg>
      <span>${words}</span>
    </button>`;
  const BODY = `
    <div class="room"><div class="sheet">
      <header>
        <p class="walk"><b class="name"></b> <span class="question"></span></p>
        <p class="title" role="heading" aria-level="3"></p>
      </header>
      <div class="stage"><svg class="canvas" role="img" xmlns="${SVG}"
        viewBox="0 0 ${LABKIT.width} ${LABKIT.height}"></svg></div>
      <div class="bar" role="group" aria-label="Player controls">
        ${button("back", "Back", "ArrowLeft")}
        ${button("play", "Play", "Space")}
        ${button("next", "Next", "ArrowRight")}
        <input class="slider" type="range" min="1" step="1" aria-label="Step">
        <output class="counter" aria-hidden="true"></output>
      </div>
      <div class="say">
        <p class="narration" aria-live="polite" aria-atomic="true"></p>
        <p class="call" aria-label="The call in C"></p>
      </div>
      <div class="side">
        <section class="counts" aria-label="Counted so far"><h5>Counted so far</h5>
          <dl></dl></section>
        <section class="evidence" aria-label="Evidence" tabindex="0"><h5>Evidence</h5>
          <dl></dl></section>
        <nav class="steps" aria-label="Steps"><h5>Steps</h5><ol></ol></nav>
        <section class="notes" aria-label="Not shown here"><h5>Not shown here</h5>
          <ul></ul></section>
        <section class="key" aria-label="Key"><h5>Key</h5><ul></ul></section>
      </div>
      <footer></footer>
    </div></div>`;

  const clamp = (value) => Math.min(Math.max(value, 0), 1);
  const ease = (t) => (t < 0.5 ? 4 * t * t * t : 1 - (-2 * t + 2) ** 3 / 2);
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const make = (name, text, look) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (look) element.className = look;
    return element;
  };

  class Player {
    constructor(host) {
      this.host = host;
      const facts = host.querySelector('script[type="application/json"]');
      this.walk = JSON.parse(facts.textContent);
      this.pictures = [...host.querySelectorAll("img")].map((image) => image.getAttribute("src"));
      this.scenes = [];
      this.index = -1;
      this.timer = 0;
      this.frame = 0;
      this.finish = null;

      const root = host.attachShadow({ mode: "open" });
      root.append(make("style", LABKIT.style));
      const body = make("template");
      body.innerHTML = BODY;
      root.append(body.content);
      this.find = (selector) => root.querySelector(selector);
      host.tabIndex = 0;
      host.setAttribute("role", "region");
      host.setAttribute("aria-roledescription", "walkthrough");
      host.setAttribute("aria-label", `Walkthrough: ${this.walk.title}`);
      this.fill(host);
      this.go(0);
      new ResizeObserver(() => this.fitProof()).observe(this.find(".sheet"));
    }

    get last() {
      return this.walk.steps.length - 1;
    }

    // What stays the same over all steps.
    fill(host) {
      const { walk, find } = this;
      find(".name").textContent = walk.title;
      find(".question").textContent = walk.question;
      find(".slider").max = walk.steps.length;
      find(".slider").addEventListener("input", (event) => this.go(event.target.value - 1));
      find(".back").addEventListener("click", () => this.go(this.index - 1));
      find(".next").addEventListener("click", () => this.go(this.index + 1));
      find(".play").addEventListener("click", () => this.toggle());
      walk.steps.forEach((step, number) => {
        const item = make("li");
        const jump = make("button", undefined, "jump");
        jump.type = "button";
        jump.append(make("i", String(number + 1)), make("span", step.title));
        jump.addEventListener("click", () => this.go(number));
        item.append(jump);
        find(".steps ol").append(item);
      });
      find(".notes").hidden = walk.notes.length === 0;
      find(".notes ul").append(...walk.notes.map((note) => make("li", note)));
      for (const [picture, words] of walk.key) {
        const item = make("li");
        item.innerHTML = picture; // made of our own shapes: no text of the walk is in it
        item.append(make("span", words));
        find(".key ul").append(item);
      }
      find(".key").hidden = walk.key.length === 0;
      const transcript = host.querySelector("details").cloneNode(true);
      transcript.className = "transcript";
      find("footer").append(make("p", walk.machine, "machine"), transcript);
      // Where the height is not given there is room for the key below, and none to spare beside.
      if (host.dataset.labkitFit === undefined) find("footer").before(find(".key"));
    }

    // The groups of a step, by id, in drawing order.
    scene(index) {
      if (!this.scenes[index]) {
        const address = this.pictures[index];
        const text = decodeURIComponent(address.slice(address.indexOf(",") + 1));
        const picture = new DOMParser().parseFromString(text, "image/svg+xml");
        this.scenes[index] = [...picture.querySelectorAll("g[data-id]")];
      }
      return this.scenes[index].map((group) => document.importNode(group, true));
    }

    go(wanted) {
      const index = Math.min(Math.max(wanted, 0), this.last);
      if (index === this.index) return;
      const step = this.walk.steps[index];
      const first = this.index < 0;
      const before = index > 0 ? this.walk.steps[index - 1] : null;
      this.index = index;
      this.host.dataset.step = index + 1;

      const { find } = this;
      const place = `Step ${index + 1} of ${this.last + 1}`;
      find(".title").textContent = step.title;
      find(".title").dataset.number = index + 1;
      find(".counter").textContent = `${index + 1} / ${this.last + 1}`;
      find(".narration").replaceChildren(
        make("span", `${place}: ${step.title}. `, "heard"), document.createTextNode(step.narration),
      );
      find(".call").textContent = step.call;
      find(".call").hidden = !step.call;
      find(".call").toggleAttribute("data-lines", step.call.includes("\n"));
      find(".slider").value = index + 1;
      find(".slider").setAttribute("aria-valuetext", `${place}: ${step.title}`);
      find(".slider").style.setProperty("--done", this.last ? index / this.last : 1);
      find(".back").setAttribute("aria-disabled", index === 0);
      find(".next").setAttribute("aria-disabled", index === this.last);
      find(".canvas").setAttribute("aria-label", step.alt);
      this.count(step.counts, before ? before.counts : []);
      this.prove(step.evidence);
      this.list(index);
      this.draw(this.scene(index), !first && !still());
      this.reveal();
      if (this.timer) this.wait();
    }

    count(counts, before) {
      // Counted anew, or something else than before: then nothing has been added.
      const was = new Map(before);
      const goesOn = counts.every(([name, value]) => value >= (was.get(name) ?? 0))
        && (!before.length || counts.some(([name]) => was.has(name)));
      this.find(".counts").hidden = counts.length === 0;
      this.find(".counts").toggleAttribute("data-many", counts.length > MANY);
      // "pipe: copies" stands as "copies" below "pipe", said once for all that follow.
      let group = "";
      this.find(".counts dl").replaceChildren(...counts.flatMap(([name, value]) => {
        const pair = make("div");
        const cut = name.lastIndexOf(": ");
        const of = cut < 0 ? "" : name.slice(0, cut);
        const more = value - (was.get(name) ?? 0);
        const number = make("dd", Number(value).toLocaleString("en"));
        if (more && goesOn && was.has(name)) number.append(make("ins", `+${more}`));
        const named = make("dt");
        if (of) named.append(make("span", `${of}: `, "heard"));
        named.append(name.slice(of ? cut + 2 : 0));
        pair.append(named, number);
        if (of === group) return [pair];
        group = of;
        const head = make("div", undefined, "group");
        head.append(make("dt", of));
        head.setAttribute("aria-hidden", "true");
        return of ? [head, pair] : [pair];
      }));
    }

    prove(evidence) {
      this.find(".evidence").hidden = evidence.length === 0;
      this.find(".evidence").scrollTop = 0;
      this.find(".evidence dl").replaceChildren(...evidence.map(([what, where, value]) => {
        const pair = make("div");
        const name = make("dt", what);
        const raw = make("dd");
        name.append(" ", make("small", where));
        raw.append(make("bdi", value));
        pair.append(name, raw);
        return pair;
      }));
      this.fitProof();
    }

    // On a slide nobody scrolls: long values end early, then whole lines are left out, and all of it
    // stands in full in the notebook.
    fitProof() {
      const evidence = this.find(".evidence");
      const fits = () => evidence.scrollHeight <= evidence.clientHeight + 1;
      evidence.style.removeProperty("--lines");
      evidence.querySelector(".more")?.remove();
      const pairs = [...evidence.querySelectorAll("dl > div")];
      for (const pair of pairs) pair.hidden = false;
      if (this.host.dataset.labkitSlide === undefined) return;
      for (let lines = 4; lines > 0 && !fits(); lines -= 1)
        evidence.style.setProperty("--lines", lines);
      const more = make("p", "", "more");
      for (let left = 1; left < pairs.length && !fits(); left += 1) {
        pairs.at(-left).hidden = true;
        more.textContent = `and ${left} more, in the notebook`;
        evidence.append(more);
      }
    }

    list(index) {
      const steps = this.find(".steps ol");
      [...steps.children].forEach((item, number) => {
        const jump = item.firstChild;
        if (number === index) jump.setAttribute("aria-current", "step");
        else jump.removeAttribute("aria-current");
      });
      const { offsetTop, offsetHeight } = steps.children[index];
      steps.scrollTop = offsetTop - (steps.clientHeight - offsetHeight) / 2; // the page stays put
    }

    // On a phone the picture is wider than the screen: bring what has changed into sight.
    reveal() {
      const stage = this.find(".stage");
      const hidden = stage.scrollWidth - stage.clientWidth;
      if (hidden <= 0) return;
      const rings = [...this.find(".canvas").querySelectorAll('g[data-id^="ring "] .k-ring')];
      if (!rings.length) return;
      const middles = rings.map((ring) => Number(ring.getAttribute("x"))
        + Number(ring.getAttribute("width")) / 2);
      const middle = (Math.min(...middles) + Math.max(...middles)) / 2;
      const left = (middle / LABKIT.width) * stage.scrollWidth - stage.clientWidth / 2;
      stage.scrollTo({ left, behavior: still() ? "auto" : "smooth" });
    }

    draw(groups, moving) {
      cancelAnimationFrame(this.frame);
      if (this.finish) this.finish();
      const canvas = this.find(".canvas");
      const old = new Map([...canvas.children].map((group) => [group.dataset.id, group]));
      if (!moving) {
        canvas.replaceChildren(...groups);
        return;
      }
      const changes = [];
      const leaving = [];
      for (const group of groups) {
        const was = old.get(group.dataset.id);
        if (!was) changes.push(appear(group, canvas));
        else if (was.outerHTML !== group.outerHTML) leaving.push(...pair(was, group, changes));
        old.delete(group.dataset.id);
      }
      leaving.push(...old.values());
      canvas.replaceChildren(...groups, ...leaving);
      changes.push(...leaving.map(vanish));
      this.host.dataset.moving = "";
      this.finish = () => {
        changes.forEach((change) => change(1));
        leaving.forEach((element) => element.remove());
        delete this.host.dataset.moving;
        this.finish = null;
      };
      const start = performance.now();
      const tick = (now) => {
        const t = clamp((now - start) / MOVE_MS);
        if (t === 1) {
          this.finish();
          return;
        }
        changes.forEach((change) => change(t));
        this.frame = requestAnimationFrame(tick);
      };
      changes.forEach((change) => change(0));
      this.frame = requestAnimationFrame(tick);
    }

    toggle() {
      if (this.timer) {
        this.pause();
        return;
      }
      if (this.index === this.last) this.go(0);
      this.show("pause", "Pause");
      this.host.dataset.playing = "";
      this.wait();
    }

    // Until the step has been read.
    wait() {
      clearTimeout(this.timer);
      const words = this.walk.steps[this.index].narration.split(/\s+/).length;
      this.timer = setTimeout(() => {
        if (!this.host.isConnected || this.index >= this.last) this.pause();
        else this.go(this.index + 1);
        if (this.index === this.last) this.pause();
      }, Math.max(READ_MS.least, words * READ_MS.word));
    }

    pause() {
      clearTimeout(this.timer);
      this.timer = 0;
      delete this.host.dataset.playing;
      this.show("play", "Play");
    }

    show(icon, words) {
      this.find(".play path").setAttribute("d", ICONS[icon]);
      this.find(".play span").textContent = words;
    }

    // Whether the key was one of ours, and so is used up.
    key(event) {
      const target = event.composedPath()[0];
      const native = target instanceof Element && target.matches("button, summary, a, input");
      const slides = target instanceof Element && target.matches("input");
      const steps = {
        ArrowRight: 1, ArrowLeft: -1, PageDown: 1, PageUp: -1, Home: -this.index - 1,
        End: this.last + 1,
      };
      if (event.key in steps) {
        this.go(event.key === "Home" ? 0 : this.index + steps[event.key]);
        return true;
      }
      if (event.key === " " && (!native || slides)) {
        if (!event.repeat) this.toggle();
        return true;
      }
      if (event.key === "Escape") {
        this.find(":focus")?.blur();
        this.host.blur();
      }
      return false;
    }
  }

  const fading = (element, share) => {
    if (share >= 1) element.removeAttribute("style");
    else element.setAttribute("style", `opacity: ${share}`);
  };
  const appear = (element) => (t) => fading(element, clamp((t - 0.5) / 0.5));
  const vanish = (element) => (t) => {
    element.style.opacity = 1 - clamp(t / 0.4);
  };
  const alike = (a, b) => a.tagName === b.tagName
    && a.getAttribute("class") === b.getAttribute("class");

  // Moves a group from where it was; returns what of the old one has to fade out.
  function pair(was, group, changes) {
    const before = [...was.children];
    const over = [];
    let next = 0;
    for (const mark of group.children) {
      const found = before.findIndex((other, place) => place >= next && alike(other, mark));
      if (found < 0) {
        changes.push(appear(mark));
        continue;
      }
      over.push(...before.slice(next, found));
      next = found + 1;
      const old = before[found];
      const move = path(old, mark);
      if (move) changes.push(move);
      if (mark.tagName === "text" && old.textContent !== mark.textContent) {
        const ghost = old;
        over.push(ghost);
        changes.push(appear(mark));
        const drift = path(ghost, mark, ghost);
        if (drift) changes.push(drift);
      }
    }
    over.push(...before.slice(next));
    return over;
  }

  // What sets an element's numbers to a share of the way between two elements.
  function path(from, to, element = to) {
    const changes = [];
    for (const name of NUMBERS) {
      const a = Number(from.getAttribute(name) ?? 0);
      const b = Number(to.getAttribute(name) ?? 0);
      if (a === b) continue;
      const end = to.getAttribute(name); // as it was written, at the end
      changes.push((t) => {
        if (t < 1) element.setAttribute(name, a + (b - a) * t);
        else if (end === null) element.removeAttribute(name);
        else element.setAttribute(name, end);
      });
    }
    const [a, b] = [from.getAttribute("d"), to.getAttribute("d")];
    if (a && b && a !== b && a.replace(/[-\d.]+/g, "") === b.replace(/[-\d.]+/g, "")) {
      const [as, bs] = [a, b].map((d) => d.match(/-?[\d.]+/g).map(Number));
      changes.push((t) => {
        let place = 0;
        if (t === 1) element.setAttribute("d", b);
        else element.setAttribute("d", b.replace(/-?[\d.]+/g, () => {
          const value = as[place] + (bs[place] - as[place]) * t;
          place += 1;
          return Math.round(value * 10) / 10;
        }));
      });
    }
    if (!changes.length) return null;
    return (t) => changes.forEach((change) => change(ease(clamp(t / 0.8))));
  }

  // Keys are taken where nothing else has seen them yet, and only those meant for a player: neither
  // a deck nor a notebook around it may turn the slide or select another cell at the same time.
  const players = window[PLAYERS] ??= new WeakMap();
  if (!players.listening) {
    players.listening = true;
    window.addEventListener("keydown", (event) => {
      const host = event.composedPath().find((node) => players.has(node));
      if (!host || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
      if (event.key === "Tab" || /^F\d+$/.test(event.key)) return;
      event.stopImmediatePropagation();
      if (players.get(host).key(event)) event.preventDefault();
    }, true);
  }
  const here = document.currentScript?.getRootNode() ?? document;
  for (const host of here.querySelectorAll(".labkit-player")) {
    if (!host.shadowRoot) players.set(host, new Player(host));
  }
  const whole = document.querySelector(".labkit-player[data-labkit-page]");
  if (whole && document.activeElement === document.body) whole.focus({ preventScroll: true });
})();
