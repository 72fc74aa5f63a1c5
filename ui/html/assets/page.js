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

  // Events of the page's own buttons go over the bridge, a hidden component that passes them on to the server.
  const ask = (event, data = {}) => document.dispatchEvent(new CustomEvent("pq", { detail: { event, data } }));
  const dataOf = (button) => (button.value ? JSON.parse(button.value) : {});

  // Below the masthead: the view, and the panel beside it. What is shown is in its data attributes.
  const body = () => document.getElementById("pq-body") ?? document.body;
  function show(view) {
    if (body().dataset.view === view) return;
    body().dataset.view = view;
    for (const part of document.querySelectorAll(".pq-view")) part.toggleAttribute("data-shown", part.id === `pq-${view}-view`);
    for (const tab of document.querySelectorAll("[data-view]:is(button)"))
      tab.dataset.view === view ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current");
    view === "history" ? list() : ask("view", { view });
  }

  // What is added elsewhere is shown, too, while nobody is choosing.
  const choosing = () => document.querySelector("#pq-table input:checked, #pq-confirm .pq-confirm");
  setInterval(() => body().dataset.view === "articles" && !document.hidden && !choosing() && ask("look"), 8000);

  // The reader: an article in the panel, in place of the sources.
  let opener = null;
  function open(link, event, data) {
    opener = link;
    ask(event, data);
  }
  function close() {
    delete body().dataset.reading;
    const back = opener?.isConnected ? opener : document.getElementById(opener?.id ?? "");
    back?.focus();
    opener = null;
  }
  function read() {
    const article = document.querySelector("#pq-reader .pq-reading");
    if (!article) return;
    body().dataset.reading = "";
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

  // Conversations that are kept in this browser: a text each, whose first line says what it is.
  const SLOT = "pullquote.";
  const slots = () => Object.keys(localStorage).filter((key) => key.startsWith(SLOT));
  const held = (id) => localStorage.getItem(SLOT + id) ?? "";
  const first = (text) => text.slice(0, text.indexOf("\n"));
  const updated = (key) => JSON.parse(first(localStorage.getItem(key)) || "{}").updated ?? "";
  function hold(id, text) {
    for (;;) {
      try {
        return localStorage.setItem(SLOT + id, text);
      } catch (full) {
        const others = slots().filter((key) => key !== SLOT + id).sort((a, b) => (updated(a) < updated(b) ? -1 : 1));
        if (!others.length) return;
        localStorage.removeItem(others[0]); // the oldest one makes room
      }
    }
  }
  const titled = (text, title) => text.split("\n").map((line) => JSON.stringify({ ...JSON.parse(line), title })).join("\n");
  // What another tab did to a conversation since this one kept it last: a question that was asked there must not be
  // lost, and a title that was given there stays.
  function keep({ id, text, last }) {
    const stored = JSON.parse(first(held(id)) || "null");
    if (stored && stored.updated !== last?.updated) return ask("fork");
    hold(id, stored && stored.title !== last.title ? titled(text, stored.title) : text);
  }
  function name({ id, title }) {
    if (held(id) && title) hold(id, titled(held(id), title));
  }
  function list() {
    const words = document.querySelector("#pq-history-view :is(input, textarea)")?.value ?? "";
    const wanted = words.toLowerCase().split(/\s+/).map((word) => JSON.stringify(word).slice(1, -1));
    const texts = slots().map((key) => localStorage.getItem(key));
    // What may have the words is looked into on the server, which tells what was said from the names of fields.
    const kept = texts.filter((text) => wanted.every((word) => text.toLowerCase().includes(word)));
    ask("list", { words, kept: words.trim() ? kept : kept.map(first) });
  }
  let typed = 0;
  document.addEventListener("input", ({ target }) => {
    if (!target.closest?.("#pq-history-view label")) return;
    clearTimeout(typed);
    typed = setTimeout(list, 150);
  });

  // A link to a conversation ends in its id, so that a reload brings it back.
  const LINK = "#conversation=";
  const linked = () => (location.hash.startsWith(LINK) ? location.hash.slice(LINK.length) : "");
  const address = (id) => history.replaceState(null, "", id ? LINK + id : location.pathname + location.search);
  function reopen(conversation) {
    address(conversation);
    ask("reopen", { conversation, kept: held(conversation) });
    show("chat");
    close();
  }
  document.addEventListener("pq-ready", () => linked() && reopen(linked()));
  addEventListener("hashchange", () => linked() && reopen(linked()));

  function download({ name, text }) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
  document.addEventListener("pq-message", ({ detail }) => {
    const told = JSON.parse(detail || "{}");
    if (told.keep?.text) keep(told.keep);
    if (told.rename) name(told.rename);
    if (told.keep && document.querySelector("#pq-chat .pq-question")) address(told.keep.id);
    if (told.download) download(told.download);
    if (body().dataset.view === "history") list();
  });

  // A title is written over where it stands.
  function rename(button, { conversation, title }) {
    const input = Object.assign(document.createElement("input"), { value: title, maxLength: 120, className: "pq-rename" });
    input.setAttribute("aria-label", "Title");
    const end = (event) => {
      if (event.key === "Enter") ask("rename", { conversation, title: input.value });
      if (event.key === "Enter" || event.key === "Escape") input.remove();
    };
    input.addEventListener("keydown", end);
    button.closest("li").prepend(input);
    input.select();
  }
  function forget(button, { conversation }) {
    if (button.textContent === "Delete") return (button.textContent = "Delete for good?");
    localStorage.removeItem(SLOT + conversation);
    if (linked() === conversation) address("");
    ask("delete", { conversation });
  }

  // A picture leads to the articles that it stands for, in the table.
  function find(_, { words }) {
    const box = document.querySelector("#pq-find :is(input, textarea)");
    box.value = words;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    show("articles");
    box.focus();
  }

  const picked = () => [...document.querySelectorAll("#pq-table input:checked")].map((box) => box.value);
  const actions = {
    read: (button, data) => open(button, "read", data),
    close,
    copy,
    reopen: (_, { conversation }) => reopen(conversation),
    rename,
    delete: forget,
    export: (_, data) => ask("export", { ...data, kept: held(data.conversation) }),
    find,
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

  // It says that its examples are a list, and that of buttons, of which a list has none.
  const unlist = () => document.querySelectorAll("#pq-chat .examples[role]").forEach((list) => list.removeAttribute("role"));

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
    if (questions.length > asked) delete body().dataset.reading;
    if (questions.length > asked && matchMedia("(max-width: 55.99rem)").matches)
      questions[questions.length - 1].scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" });
    asked = questions.length;
  }

  const changed = () => (unlabel(), unlist(), explain(), showNewest());
  new MutationObserver(changed).observe(document, { subtree: true, childList: true, attributeFilter: ["aria-label"] });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#pq-chat .option")) takeThumbBack();
    if (event.target.closest?.("#pq-new")) (address(""), show("chat"), close());
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
    if (event.key === "Escape" && "reading" in body().dataset) close();
  });
})();
