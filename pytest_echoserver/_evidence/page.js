"use strict";
(() => {
  const ROW = 30, TIMES = 76, NARROWEST = 132, WIDEST = 420, CHARACTER = 7.25, HEAD = 40;
  const SVG = "http://www.w3.org/2000/svg";
  const index = JSON.parse(document.getElementById("index").textContent);
  const list = document.getElementById("tests");
  const filters = ["test", "peer", "outcome"].map((name) => document.getElementById(`by-${name}`));

  // All that was captured comes in by these two: as text, never as markup.
  function element(name, attributes = {}, ...children) {
    return filled(document.createElement(name), attributes, children);
  }

  function drawn(name, attributes = {}, ...children) {
    return filled(document.createElementNS(SVG, name), attributes, children);
  }

  function filled(made, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== ""));
    return made;
  }

  function bytesOf(encoded) {
    return Uint8Array.from(atob(encoded || ""), (character) => character.charCodeAt(0));
  }

  // Text as it can be shown: what would move or hide what stands beside it is written as an escape.
  function shownText(text) {
    return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu, (character) => {
      if (character === "\n" || character === "\t") {
        return character;
      }
      const code = character.codePointAt(0);
      return code === 13 ? "\\r" : code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
    });
  }

  // What was cut may lack some of a character.
  function textOf(bytes, begins, ends) {
    const first = begins ? 0 : Math.max(bytes.findIndex((byte) => (byte & 0xc0) !== 0x80), 0);
    try {
      const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      const text = decoder.decode(bytes.subarray(first), { stream: !ends });
      const odd = (text.match(/[^\P{C}\t\r\n]/gu) || []).length;
      return odd * 8 > text.length ? null : shownText(text);
    } catch {
      return null;
    }
  }

  function hexOf(bytes, offset, columns) {
    const rows = [];
    for (let at = 0; at < bytes.length; at += columns) {
      const row = [...bytes.subarray(at, at + columns)];
      const pairs = row.map((byte) => byte.toString(16).padStart(2, "0"));
      const halves = `${pairs.slice(0, 8).join(" ")}  ${pairs.slice(8).join(" ")}`.padEnd(columns * 3);
      const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
      rows.push(`${(offset + at).toString(16).padStart(4, "0")}  ${halves}  ${text}`);
    }
    return rows.join("\n");
  }

  function payloadOf(step, columns = 16) {
    const begin = bytesOf(step.begin), end = bytesOf(step.end);
    const leftOut = step.size - begin.length - end.length;
    const gap = leftOut > 0 ? `\n… ${leftOut.toLocaleString("en")} more byte${leftOut === 1 ? "" : "s"} …\n` : "";
    const texts = [textOf(begin, true, begin.length === step.size), textOf(end, false, true)];
    const isText = texts.every((text) => text !== null);
    const hex = hexOf(begin, 0, columns) + gap + hexOf(end, step.size - end.length, columns);
    return { text: isText ? texts.join(gap) : "", isText, hex };
  }

  function preview(step) {
    if (step.size === undefined) {
      return "";
    }
    if (step.decoded) {
      return step.decoded;
    }
    const { text, isText, hex } = payloadOf({ ...step, begin: (step.begin || "").slice(0, 400), end: "" });
    if (step.size === 0) {
      return "empty";
    }
    return isText ? text.replace(/\n/g, "\\n").replace(/\t/g, "\\t") : hex.slice(6, 54).trim();
  }

  function cut(text, width) {
    const most = Math.max(Math.floor(width / CHARACTER), 3);
    const characters = [...text];
    return characters.length <= most ? text : `${characters.slice(0, most - 1).join("")}…`;
  }

  // The places of a test's lifelines, and between which two of them what a peer says and hears passes.
  function lifelinesOf(test, steps) {
    const names = test.peers.map((peer) => peer.name);
    const protocols = names.map((name) => names.indexOf(`${name}'s protocol`));
    const needsCode = test.peers.some((peer, place) => peer.kind !== "protocol" && protocols[place] < 0);
    const lines = needsCode || !names.length ? [{ name: "code under test", where: "" }] : [];
    const places = test.peers.map((peer, place) => {
      lines.push({ name: peer.name, where: peer.where ? `${peer.kind} ${peer.where}` : peer.detail || peer.kind });
      const own = lines.length - 1;
      const proxies = steps.some((step) => step.peer === place && step.target);
      if (proxies) {
        lines.push({ name: `target of ${peer.name}`, where: "" });
      }
      return { own, target: own + 1 };
    });
    const ends = (step) => {
      const { own, target } = places[step.peer];
      const partner = protocols[step.peer] >= 0 ? places[protocols[step.peer]].own : 0;
      const [near, far] = step.target ? [own, target] : [own, partner];
      // From a proxy's target comes what is "in" for the proxy, as from a client.
      return step.way === "in" ? [far, near] : [near, far];
    };
    return { lines, ends, own: (step) => places[step.peer].own };
  }

  function draw(test, steps, width) {
    const { lines, ends, own } = lifelinesOf(test, steps);
    const column = Math.min(WIDEST, Math.max(NARROWEST, (width - TIMES) / lines.length));
    const x = (place) => TIMES + column * (place + 0.5);
    const whole = { width: Math.max(TIMES + column * lines.length, width), height: ROW * steps.length + 12 };
    const heads = drawn("svg", { class: "heads", width: whole.width, height: HEAD, "aria-hidden": "true" });
    const body = drawn("svg", { ...whole, role: "listbox", "aria-label": `messages of ${test.node}` });
    lines.forEach((line, place) => {
      const middle = { x: x(place), "text-anchor": "middle" };
      heads.append(drawn("text", { ...middle, y: 16, class: "head" }, cut(line.name, column - 8)));
      heads.append(drawn("text", { ...middle, y: 32, class: "where" }, cut(line.where, column - 8)));
      const ys = { y1: 0, y2: whole.height };
      body.append(drawn("line", { class: "lifeline", x1: x(place), x2: x(place), ...ys }));
    });
    steps.forEach((step, place) => body.append(drawStep(step, place, { x, ends, own, width: whole.width, test })));
    return { heads, body };
  }

  function drawStep(step, place, { x, ends, own, width, test }) {
    const top = ROW * place + 2, base = top + 21;
    const classes = ["step", step.way || "", step.tone || ""].join(" ").trim();
    const group = drawn("g", {
      class: classes, role: "option", tabindex: place ? -1 : 0, "aria-selected": "false", "aria-label": said(step, test),
    });
    group.append(drawn("rect", { class: "ground", x: 1, y: top, width: width - 2, height: ROW - 2, rx: 3 }));
    const when = step.time === null ? "at the end" : `${step.time >= 0 ? "+" : ""}${step.time.toFixed(4)}`;
    group.append(drawn("text", { class: "time", x: 6, y: base }, step.more ? "" : when));
    if (step.more || step.peer === null) {
      group.append(drawn("text", { class: "more", x: x(0), y: base }, `… ${step.more.toLocaleString("en")} more …`));
      return group;
    }
    const number = step.connection ? `#${step.connection} ` : "";
    const label = number + [step.what, preview(step)].filter(Boolean).join(" ");
    const faults = (step.faults || []).join(", ");
    if (!step.way || step.call) {
      const here = x(own(step));
      group.append(drawn("circle", { class: "dot", cx: here, cy: base - 4, r: 4 }));
      group.append(besides(label, faults, here, width, base));
      return group;
    }
    const [from, to] = ends(step).map(x);
    const left = Math.min(from, to), room = Math.abs(to - from) - 18;
    const told = drawn("text", { class: "label", x: left + 9, y: top + 11 }, cut(label, room - faults.length * CHARACTER));
    if (faults) {
      told.append(drawn("tspan", { class: "faults" }, ` ${cut(faults, room / 1.5)}`));
    }
    group.append(arrow(step, from, to, base), told);
    return group;
  }

  function besides(label, faults, here, width, base) {
    const right = width - here - 14, left = here - TIMES - 14;
    const anchor = right >= left ? { x: here + 10 } : { x: here - 10, "text-anchor": "end" };
    return drawn("text", { class: "label", y: base, ...anchor }, cut([label, faults].filter(Boolean).join(" "), Math.max(left, right)));
  }

  function arrow(step, from, to, y) {
    const ahead = Math.sign(to - from) || 1;
    const drawing = [];
    const head = (atX, atY) => `M${atX - 7 * ahead} ${atY - 4}L${atX} ${atY}L${atX - 7 * ahead} ${atY + 4}`;
    const end = to - 2 * ahead, half = from + (to - from) * 0.6;
    if (step.lost) {
      drawing.push(`M${from} ${y}H${half}`, `M${half - 5} ${y - 5}l10 10m0 -10l-10 10`);
    } else if (step.copies > 1) {
      drawing.push(`M${from} ${y}H${end}`, head(end, y), `M${half} ${y}L${half + 12 * ahead} ${y + 6}H${end}`, head(end, y + 6));
    } else {
      drawing.push(`M${from} ${y}H${end}`, head(end, y));
    }
    return drawn("path", { class: "arrow", d: drawing.join("") });
  }

  // One message in words, for who can't see the drawing, and as the heading of its bytes.
  function said(step, test) {
    if (step.more) {
      return `${step.more} more, left out`;
    }
    const peer = test.peers[step.peer].name;
    const way = { in: `to ${peer}`, out: `from ${peer}` }[step.way] || `at ${peer}`;
    const when = step.time === null ? "at the end" : `after ${step.time.toFixed(4)} s`;
    const size = step.size === undefined ? "" : `${step.size.toLocaleString("en")} byte${step.size === 1 ? "" : "s"}`;
    const connection = step.connection ? `connection ${step.connection}` : "";
    const other = step.other ? `with ${step.other}` : "";
    const parts = [when, step.call ? `call of ${peer}` : way, connection, step.what, size, step.decoded, other];
    return [...parts, ...(step.faults || [])].filter(Boolean).join(", ");
  }

  function show(step, test, panel) {
    panel.replaceChildren(element("h3", {}, said(step, test)));
    if (step.size) {
      const { text, isText, hex } = payloadOf(step, panel.clientWidth < 600 ? 8 : 16);
      panel.append(element("pre", { tabindex: 0, "aria-label": "as text" }, isText ? text : "(not text)"));
      panel.append(element("pre", { tabindex: 0, class: "hex", "aria-label": "as hex" }, hex));
    }
  }

  function open(details, test, place) {
    const inside = details.querySelector(".inside");
    const steps = JSON.parse(document.getElementById(`steps-${place}`).textContent);
    if (test.message) {
      inside.append(element("pre", { class: "why", tabindex: 0, "aria-label": "why it failed" }, shownText(test.message)));
    }
    if (test.repeat) {
      inside.append(element("p", {}, test.repeat));
    }
    const box = element("div", { class: "diagram" });
    const panel = element("section", { class: "bytes", "aria-live": "polite", "aria-label": "the message's bytes" });
    inside.append(box, panel);
    const { heads, body } = draw(test, steps, box.clientWidth - 18);
    box.append(heads, body);
    const groups = [...body.querySelectorAll(".step")];
    let chosen = -1;
    function choose(next) {
      if (next < 0 || next >= groups.length) {
        return;
      }
      if (chosen >= 0) {
        groups[chosen].setAttribute("aria-selected", "false");
        groups[chosen].setAttribute("tabindex", "-1");
      }
      groups[0].setAttribute("tabindex", "-1");
      chosen = next;
      groups[chosen].setAttribute("aria-selected", "true");
      groups[chosen].setAttribute("tabindex", "0");
      groups[chosen].focus();
      show(steps[chosen], test, panel);
    }
    body.addEventListener("click", (event) => choose(groups.indexOf(event.target.closest(".step"))));
    body.addEventListener("keydown", (event) => {
      const moves = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, Home: 0, End: groups.length - 1, Enter: Math.max(chosen, 0) };
      if (event.key in moves) {
        event.preventDefault();
        choose(moves[event.key]);
      }
    });
  }

  function listTests() {
    index.forEach((test, place) => {
      const inside = element("div", { class: "inside" });
      const title = element("summary", {},
        element("span", { class: `outcome ${test.outcome}` }, test.outcome),
        element("span", { class: "node" }, test.node),
        element("span", { class: "count" }, test.peers.map((peer) => peer.name).slice(0, 4).join(", ")));
      const details = element("details", {}, title, inside);
      details.addEventListener("toggle", () => {
        if (details.open && !inside.hasChildNodes()) {
          open(details, test, place);
        }
      });
      list.append(details);
    });
  }

  function filter() {
    const [test, peer, outcome] = filters.map((each) => each.value.toLowerCase());
    let shown = 0;
    index.forEach((each, place) => {
      const fits = (!outcome || each.outcome === outcome)
        && `${each.node}\n${each.message}`.toLowerCase().includes(test)
        && (!peer || each.peers.some(({ name, kind, where }) => `${name} ${kind} ${where}`.toLowerCase().includes(peer)));
      list.children[place].hidden = !fits;
      shown += fits;
    });
    const counts = ["failed", "error", "skipped", "passed"].map((kind) => [index.filter((each) => each.outcome === kind).length, kind]);
    const told = counts.filter(([count]) => count).map(([count, kind]) => `${count} ${kind}`).join(", ") || "no tests";
    document.getElementById("summary").textContent = shown === index.length ? told : `${told}; ${shown} shown`;
  }

  document.body.classList.toggle("alone", index.length < 2);
  listTests();
  filter();
  document.getElementById("filters").addEventListener("input", filter);
  document.getElementById("filters").addEventListener("change", filter);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, select")) {
      event.preventDefault();
      filters[0].focus();
    }
  });
  if (list.firstElementChild) {
    list.firstElementChild.open = true;
  }
})();
