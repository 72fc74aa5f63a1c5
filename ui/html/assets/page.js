// Behaviour of the page's own links and buttons, with mouse and keyboard alike.
(() => {
  const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

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
  const send = (event, data = {}) => document.dispatchEvent(new CustomEvent("pq", { detail: { event, data } }));
  const dataOf = (button) => (button.value ? JSON.parse(button.value) : {});

  // Below the masthead: the view, and the panel beside it. What is shown is in its data attributes.
  const body = () => document.getElementById("pq-body") ?? document.body;
  function show(view) {
    if (body().dataset.view === view) return;
    body().dataset.view = view;
    for (const part of document.querySelectorAll(".pq-view")) part.toggleAttribute("data-shown", part.id === `pq-${view}-view`);
    for (const tab of document.querySelectorAll("[data-view]:is(button)"))
      tab.dataset.view === view ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current");
    view === "history" ? list() : send("view", { view });
  }

  // Articles added elsewhere appear as well, but not while articles are being selected.
  const choosing = () => document.querySelector("#pq-table input:checked, #pq-confirm .pq-confirm");
  setInterval(() => body().dataset.view === "articles" && !document.hidden && !choosing() && send("look"), 8000);

  // The reader: an article in the panel, in place of the sources.
  let opener = null;
  function open(link, event, data) {
    opener = link;
    send(event, data);
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
    target.scrollIntoView({ block: "center", behavior: reducedMotion() ? "auto" : "smooth" });
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

  // Conversations saved in this browser: one text each, whose first line is its entry in the list.
  const SLOT = "pullquote.";
  const slots = () => Object.keys(localStorage).filter((key) => key.startsWith(SLOT));
  const storedText = (id) => localStorage.getItem(SLOT + id) ?? "";
  const first = (text) => text.slice(0, text.indexOf("\n"));
  const updated = (key) => JSON.parse(first(localStorage.getItem(key)) || "{}").updated ?? "";
  function store(id, text) {
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
  const withTitle = (text, title) => text.split("\n").map((line) => JSON.stringify({ ...JSON.parse(line), title })).join("\n");
  // Another tab may have changed the conversation since this one saved it: a question asked there must not be lost, and
  // a title given there stays.
  function keep({ id, text, last }) {
    const stored = JSON.parse(first(storedText(id)) || "null");
    if (stored && stored.updated !== last?.updated) return send("fork");
    store(id, stored && stored.title !== last.title ? withTitle(text, stored.title) : text);
  }
  function retitle({ id, title }) {
    if (storedText(id) && title) store(id, withTitle(storedText(id), title));
  }
  function list() {
    const words = document.querySelector("#pq-history-view :is(input, textarea)")?.value ?? "";
    const wanted = words.toLowerCase().split(/\s+/).map((word) => JSON.stringify(word).slice(1, -1));
    const texts = slots().map((key) => localStorage.getItem(key));
    // The server searches these candidates, in which the words may be no more than names of JSON fields.
    const kept = texts.filter((text) => wanted.every((word) => text.toLowerCase().includes(word)));
    send("list", { words, kept: words.trim() ? kept : kept.map(first) });
  }
  let typed = 0;
  document.addEventListener("input", ({ target }) => {
    if (!target.closest?.("#pq-history-view label")) return;
    clearTimeout(typed);
    typed = setTimeout(list, 150);
  });

  // A link to a conversation ends in its id, so that a reload brings it back.
  const LINK = "#conversation=";
  const linkedId = () => (location.hash.startsWith(LINK) ? location.hash.slice(LINK.length) : "");
  const setAddress = (id) => history.replaceState(null, "", id ? LINK + id : location.pathname + location.search);
  function reopen(conversation) {
    setAddress(conversation);
    send("reopen", { conversation, kept: storedText(conversation) });
    show("chat");
    close();
  }
  document.addEventListener("pq-ready", () => linkedId() && reopen(linkedId()));
  addEventListener("hashchange", () => linkedId() && reopen(linkedId()));

  function download({ name, text }) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
  document.addEventListener("pq-message", ({ detail }) => {
    const message = JSON.parse(detail || "{}");
    if (message.keep?.text) keep(message.keep);
    if (message.rename) retitle(message.rename);
    if (message.keep && document.querySelector("#pq-chat .pq-question")) setAddress(message.keep.id);
    if (message.download) download(message.download);
    if (body().dataset.view === "history") list();
  });

  // A title is edited in place.
  function rename(button, { conversation, title }) {
    const input = Object.assign(document.createElement("input"), { value: title, maxLength: 120, className: "pq-rename" });
    input.setAttribute("aria-label", "Title");
    const end = (event) => {
      if (event.key === "Enter") send("rename", { conversation, title: input.value });
      if (event.key === "Enter" || event.key === "Escape") input.remove();
    };
    input.addEventListener("keydown", end);
    button.closest("li").prepend(input);
    input.select();
  }
  function deleteConversation(button, { conversation }) {
    if (button.textContent === "Delete") return (button.textContent = "Delete for good?");
    localStorage.removeItem(SLOT + conversation);
    if (linkedId() === conversation) setAddress("");
    send("delete", { conversation });
  }

  // A bar of a chart leads to its articles in the table.
  function find(_, { words }) {
    const box = document.querySelector("#pq-find :is(input, textarea)");
    box.value = words;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    show("articles");
    box.focus();
  }

  const selectedArticles = () => [...document.querySelectorAll("#pq-table input:checked")].map((box) => box.value);
  const actions = {
    read: (button, data) => open(button, "read", data),
    close,
    copy,
    reopen: (_, { conversation }) => reopen(conversation),
    rename,
    delete: deleteConversation,
    export: (_, data) => send("export", { ...data, kept: storedText(data.conversation) }),
    find,
    remove: () => send("remove", { articles: selectedArticles() }),
    only: (_, data) => (show("chat"), close(), send("only", data), document.querySelector("#pq-box textarea")?.focus()),
  };

  // An empty question must not be sent: until it is processed, Gradio may drop the next one.
  const empty = (part) => part && !document.querySelector("#pq-box textarea")?.value.trim();
  function blockEmptyQuestion(event) {
    const sends = event.type === "click" ? ".submit-button" : event.key === "Enter" && "textarea";
    if (!sends || !empty(event.target.closest?.(`#pq-box ${sends}`))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }
  for (const type of ["click", "keydown", "keypress"]) document.addEventListener(type, blockEmptyQuestion, { capture: true });

  // Gradio labels each message with its markup, which a screen reader would read out instead of the text.
  const removeLabels = () =>
    document.querySelectorAll("#pq-chat [data-testid][aria-label]").forEach((m) => m.removeAttribute("aria-label"));

  // Gradio gives the examples the role of a list, whose children must not be buttons.
  const removeListRole = () => document.querySelectorAll("#pq-chat .examples[role]").forEach((list) => list.removeAttribute("role"));

  // The text of a chip does not say what a click does.
  const describeChips = () =>
    document.querySelectorAll("#pq-chat .option").forEach((chip) => (chip.title = "Ask again without this"));

  // A rating belongs to the answer that a chip has replaced; Gradio would keep it for the new one.
  function resetRating() {
    const thumbs = [...document.querySelectorAll("#pq-chat .message-buttons")].at(-1);
    thumbs?.querySelector("[aria-label=Liked], [aria-label=Disliked]")?.click();
  }

  // On a narrow page, which scrolls as a whole, a new answer would appear below the fold.
  let asked = 0;
  function showNewest() {
    const questions = document.querySelectorAll("#pq-chat .pq-question");
    if (questions.length > asked) delete body().dataset.reading;
    if (questions.length > asked && matchMedia("(max-width: 55.99rem)").matches)
      questions[questions.length - 1].scrollIntoView({ block: "start", behavior: reducedMotion() ? "auto" : "smooth" });
    asked = questions.length;
  }

  const changed = () => (removeLabels(), removeListRole(), describeChips(), showNewest());
  new MutationObserver(changed).observe(document, { subtree: true, childList: true, attributeFilter: ["aria-label"] });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#pq-chat .option")) resetRating();
    if (event.target.closest?.("#pq-new")) (setAddress(""), show("chat"), close());
    const tab = event.target.closest?.("button[data-view]");
    if (tab) show(tab.dataset.view);
    const button = event.target.closest?.("button.pq-do");
    if (button) (actions[button.name] ?? ((_, data) => send(button.name, data)))(button, dataOf(button));
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
