// What the page's own links and buttons do, with mouse and keyboard alike.
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

  // What the page's own buttons ask for goes through one hidden component, which passes it on to the server.
  const ask = (event, data = {}) => document.dispatchEvent(new CustomEvent("pq", { detail: { event, data } }));
  const dataOf = (button) => (button.value ? JSON.parse(button.value) : {});

  // What is shown of the page stands on its desk.
  const desk = () => document.getElementById("pq-desk") ?? document.body;
  // The views of the page.
  function show(view) {
    if (desk().dataset.view === view) return;
    desk().dataset.view = view;
    for (const tab of document.querySelectorAll("[data-view]:is(button)"))
      tab.dataset.view === view ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current");
    ask("view", { view });
  }

  // The reader: an article in the panel, in place of the sources.
  let opener = null;
  function open(link, event, data) {
    opener = link;
    ask(event, data);
  }
  function close() {
    delete desk().dataset.reading;
    const back = opener?.isConnected ? opener : document.getElementById(opener?.id ?? "");
    back?.focus();
    opener = null;
  }
  function read() {
    const article = document.querySelector("#pq-reader .pq-reading");
    if (!article) return;
    desk().dataset.reading = "";
    const span = document.getElementById("pq-span");
    if (span) span.scrollIntoView({ block: "center" });
    else document.getElementById("pq-panel").scrollTop = 0;
    (span ?? article.querySelector("button"))?.focus({ preventScroll: true });
  }
  // The article is in the page only once it is drawn.
  document.addEventListener("pq-read", () => requestAnimationFrame(() => requestAnimationFrame(read)));

  function back(link) {
    const target = document.getElementById(link.getAttribute("href").slice(1));
    if (!target) return;
    show("chat");
    close();
    target.scrollIntoView({ block: "center", behavior: calm() ? "auto" : "smooth" });
    target.focus({ preventScroll: true });
    flash([target]);
  }

  async function copy(button) {
    const text = document.getElementById(`pq-copy-${dataOf(button).turn}`)?.textContent ?? "";
    await navigator.clipboard.writeText(text);
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  }

  const picked = () => [...document.querySelectorAll("#pq-table input:checked")].map((box) => box.value);
  const actions = {
    read: (button, data) => open(button, "read", data),
    close,
    copy,
    remove: () => ask("remove", { articles: picked() }),
    only: (_, data) => (show("chat"), close(), ask("only", data), document.querySelector("#pq-box textarea")?.focus()),
  };

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
    if (questions.length > asked) delete desk().dataset.reading;
    if (questions.length > asked && matchMedia("(max-width: 55.99rem)").matches)
      questions[questions.length - 1].scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
    asked = questions.length;
  }

  const changed = () => (unlabel(), explain(), showNewest());
  new MutationObserver(changed).observe(document, { subtree: true, childList: true, attributeFilter: ["aria-label"] });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#pq-chat .option")) takeThumbBack();
    const tab = event.target.closest?.("button[data-view]");
    if (tab) show(tab.dataset.view);
    const button = event.target.closest?.("button.pq-do");
    if (button) (actions[button.name] ?? ((_, data) => ask(button.name, data)))(button, dataOf(button));
    const link = event.target.closest?.("a.pq-marker, a.pq-number");
    if (!link) return;
    event.preventDefault(); // an address ending in #… would be kept by the browser's history
    if (link.matches(".pq-number")) back(link);
    else {
      const [, turn, number] = link.id.match(/^pq-a-(\d+)-(\d+)$/);
      const section = document.getElementById(`pq-turn-${turn}`);
      if (section) showTurn(section);
      open(link, "read", { turn, number });
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && "reading" in desk().dataset) close();
  });
})();
