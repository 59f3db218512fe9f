// The pad under a question that asks for a drawing. Its axes come from sketch.py; here is what one
// draws on them: one point a column, joined by a line. Drag across to draw, click to move a point;
// with the keyboard, Tab goes to a point, up and down move it, left and right go to the next.
const make = (parent, name, attributes = {}) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
};

function render({ model, el }) {
  const { axes, columns, levels } = model.get("pad");
  const free = columns.filter((column) => !column.fixed);
  const step = columns[1].x - columns[0].x;
  let values = [...model.get("values")];

  el.classList.add("labkit-pad");
  el.dataset.lmSuppressShortcuts = "true"; // JupyterLab: the keys that are pressed here are ours
  el.innerHTML = axes;
  const svg = el.querySelector("svg");
  const hint = make(svg, "text", { class: "hint", x: (columns[0].x + columns.at(-1).x) / 2,
    y: (levels[0].y + levels.at(-1).y) / 2 });
  hint.textContent = "draw your line here";
  const line = make(svg, "polyline", { class: "line" });
  const ink = make(svg, "polyline", { class: "ink" });
  const points = columns.map((column, at) => {
    const group = make(svg, "g", { class: column.fixed ? "point fixed" : "point", role: "slider",
      tabindex: column.fixed ? -1 : 0, "aria-label": column.label, "aria-orientation": "vertical",
      "aria-valuemin": 0, "aria-valuemax": levels.length - 1, "aria-disabled": column.fixed });
    group.addEventListener("keydown", (event) => press(event, at));
    const [focus, dot] = [make(group, "circle", { class: "focus", r: 26 }), make(group, "circle", { r: 15 })];
    return { group, focus, dot, value: make(group, "text", { class: "value" }) };
  });

  // The level of a value that is kept; it may have come by code and lie between two levels.
  const levelOf = (value) => levels.reduce((best, level, at) =>
    Math.abs(level.value - value) < Math.abs(levels[best].value - value) ? at : best, 0);
  const nearest = (list, place, key) => list.reduce((best, each) =>
    Math.abs(each[key] - place) < Math.abs(best[key] - place) ? each : best);

  function show() {
    const drawn = [];
    columns.forEach((column, at) => {
      const { group, focus, dot, value } = points[at];
      const level = values[at] == null ? null : levelOf(values[at]);
      const y = level === null ? levels[0].y : levels[level].y;
      if (level !== null) drawn.push(`${column.x},${y}`);
      group.classList.toggle("unset", level === null);
      for (const circle of [focus, dot]) circle.setAttribute("cx", column.x);
      for (const circle of [focus, dot]) circle.setAttribute("cy", y);
      value.setAttribute("x", column.x);
      value.setAttribute("y", y < levels.at(-1).y + 20 ? y + 50 : y - 28);
      value.textContent = level === null || column.fixed ? "" : levels[level].label;
      group.setAttribute("aria-valuenow", level ?? 0);
      group.setAttribute("aria-valuetext", `${column.label}: ${level === null ? "no point yet"
        : levels[level].spoken}`);
    });
    line.setAttribute("points", drawn.join(" "));
    hint.style.display = free.every((column) => values[columns.indexOf(column)] == null) ? "" : "none";
  }

  function keep() {
    model.set("values", [...values]);
    model.save_changes();
  }

  const put = (at, y) => { if (!columns[at].fixed) values[at] = nearest(levels, y, "y").value; };

  // A stroke of the pen: each column takes the height at which the pen came closest to it.
  let stroke = null;
  const place = (event) => new DOMPoint(event.clientX, event.clientY)
    .matrixTransform(svg.getScreenCTM().inverse());
  function follow(event) {
    const { x, y } = place(event);
    const { last, close } = stroke;
    columns.forEach((column, at) => {
      const crossed = last && (last.x - column.x) * (x - column.x) < 0;
      const away = Math.abs(x - column.x);
      if (crossed) {
        put(at, last.y + ((y - last.y) * (column.x - last.x)) / (x - last.x));
        close[at] = 0;
      } else if (away <= step / 2 && away <= close[at] + step / 16) {
        put(at, y);
        close[at] = Math.min(away, close[at]);
      }
    });
    stroke.last = { x, y };
    stroke.pen.push(`${x},${y}`);
    ink.setAttribute("points", stroke.pen.join(" "));
    show();
  }
  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    svg.setPointerCapture(event.pointerId);
    stroke = { last: null, close: columns.map(() => Infinity), pen: [] };
    points[columns.indexOf(nearest(free, place(event).x, "x"))].group.focus({ preventScroll: true });
    follow(event);
  });
  svg.addEventListener("pointermove", (event) => { if (stroke) follow(event); });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => {
    if (!stroke) return;
    stroke = null;
    ink.setAttribute("points", "");
    keep();
  });

  function press(event, at) {
    const level = values[at] == null ? -1 : levelOf(values[at]);
    const top = levels.length - 1;
    const to = { ArrowUp: Math.min(level + 1, top), ArrowDown: Math.max(level - 1, 0), Home: 0, End: top,
    }[event.key];
    const beside = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (to === undefined && beside === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    if (beside) {
      const next = free.indexOf(columns[at]) + beside;
      if (free[next]) points[columns.indexOf(free[next])].group.focus();
      return;
    }
    values[at] = levels[to].value;
    show();
    keep();
  }

  const changed = () => { values = [...model.get("values")]; show(); };
  model.on("change:values", changed);
  show();
  return () => model.off("change:values", changed);
}

export default { render };
