// The button that commits to an answer. It sends what its fields show at the moment of the click, all
// in one message: while the kernel is busy, a front end holds changes of fields back and sends a mere
// click ahead of them, so that an older answer than the one on the screen would be kept.
const BUSY_MS = 400;

function render({ model, el }) {
  const button = el.appendChild(document.createElement("button"));
  button.className = "jupyter-widgets jupyter-button widget-button mod-primary";
  button.textContent = "Commit";
  button.title = "Keep this answer";
  const wait = el.appendChild(document.createElement("span"));
  wait.setAttribute("role", "status");
  wait.style.marginLeft = "1em";
  let timer = 0;

  button.addEventListener("click", async () => {
    const fields = await Promise.all(model.get("fields").map((reference) =>
      model.widget_manager.get_model(reference.replace("IPY_MODEL_", ""))));
    const states = model.get("states");
    model.send({ answer: fields.map((field, at) => field.get(states[at])) });
    clearTimeout(timer);
    timer = setTimeout(() => {
      wait.textContent = "Sent. The kernel is busy and will keep it as soon as it is free.";
    }, BUSY_MS);
  });
  const answered = () => {
    clearTimeout(timer);
    wait.textContent = "";
  };
  model.on("msg:custom", answered);
  return () => model.off("msg:custom", answered);
}

export default { render };
