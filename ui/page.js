// Markers and quotes lead to each other; the links work with mouse and keyboard alike.
(() => {
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  function flash(elements) {
    for (const element of elements) {
      element.classList.remove("pq-flash");
      void element.offsetWidth; // restarts the animation when the same quote is asked for twice
      element.classList.add("pq-flash");
    }
  }

  function showTurn(section) {
    for (const other of section.parentElement.querySelectorAll(".pq-turn")) other.hidden = other !== section;
  }

  function follow(link) {
    const target = document.getElementById(link.getAttribute("href").slice(1));
    if (!target) return;
    const section = target.closest(".pq-turn");
    if (section) showTurn(section);
    target.scrollIntoView({ block: "center", behavior: calm() ? "auto" : "smooth" });
    target.focus({ preventScroll: true });
    const marks = document.getElementsByClassName(target.id.replace("pq-q-", "pq-c-"));
    flash(section ? marks : [target]);
  }

  // An empty question must not be sent: for as long as it is on its way, Gradio may pass over the one typed next.
  const empty = (part) => part && !document.querySelector("#pq-box textarea")?.value.trim();
  function holdBack(event) {
    const sends = event.type === "click" ? ".submit-button" : event.key === "Enter" && "textarea";
    if (!sends || !empty(event.target.closest?.(`#pq-box ${sends}`))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }
  for (const type of ["click", "keydown", "keypress"]) document.addEventListener(type, holdBack, { capture: true });

  // The chat labels each message with its markup, which a screen reader would read out instead of the text.
  const unlabel = () =>
    document.querySelectorAll("#pq-chat [data-testid][aria-label]").forEach((m) => m.removeAttribute("aria-label"));

  // A chip is a button whose text does not say what it does.
  const explain = () =>
    document.querySelectorAll("#pq-chat .option").forEach((chip) => (chip.title = "Ask again without this"));

  // The thumb was given to the answer that a chip has replaced; the chat would leave it to the new one.
  function takeThumbBack() {
    const thumbs = [...document.querySelectorAll("#pq-chat .message-buttons")].at(-1);
    thumbs?.querySelector("[aria-label=Liked], [aria-label=Disliked]")?.click();
  }

  // On a narrow page, which scrolls as a whole, a new answer would come in below the fold.
  let asked = 0;
  function showNewest() {
    const questions = document.querySelectorAll("#pq-chat .pq-question");
    if (questions.length > asked && matchMedia("(max-width: 55.99rem)").matches)
      questions[questions.length - 1].scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
    asked = questions.length;
  }

  const changed = () => (unlabel(), explain(), showNewest());
  new MutationObserver(changed).observe(document, { subtree: true, childList: true, attributeFilter: ["aria-label"] });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#pq-chat .option")) takeThumbBack();
    const link = event.target.closest?.("a.pq-marker, a.pq-number");
    if (!link) return;
    event.preventDefault(); // an address ending in #… would be kept by the browser's history
    follow(link);
  });
})();
