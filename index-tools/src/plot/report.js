"use strict";
(() => {
  const root = document.documentElement;
  const make = (name, text, of) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (of) of.append(element);
    return element;
  };

  // Light or dark: as the system has it, until the reader chooses.
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  system.addEventListener("change", name);
  name();

  // Tables: sorted by the column whose name is pressed, a page at a time.
  const PAGE = 50;
  const value = (cell) => (Array.isArray(cell) ? cell[0] : cell);
  const text = (cell) => (Array.isArray(cell) ? cell[1] : cell) ?? "";
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));

  const table = (place) => {
    const { columns, rows } = JSON.parse(place.parentElement.querySelector("script").textContent);
    let shown = rows, by = -1, up = true, first = 0;
    const bar = make("div", undefined, place);
    bar.className = "bar";
    const filter = make("input", undefined, bar);
    filter.type = "search";
    filter.placeholder = "rows with these words";
    filter.setAttribute("aria-label", `filter ${place.dataset.name}`);
    const back = make("button", "Previous", bar), next = make("button", "Next", bar);
    back.type = next.type = "button";
    const where = make("span", "", bar);
    where.setAttribute("role", "status");
    const wide = make("div", undefined, place);
    wide.className = "wide";
    wide.tabIndex = 0;
    wide.setAttribute("role", "region");
    wide.setAttribute("aria-label", place.dataset.name);
    const grid = make("table", undefined, wide);
    const heads = make("tr", undefined, make("thead", undefined, grid));
    const body = make("tbody", undefined, grid);

    const draw = () => {
      const page = shown.slice(first, first + PAGE).map((row) => {
        const line = document.createElement("tr");
        row.forEach((cell, at) => {
          const box = make("td", text(cell), line);
          if (columns[at][1]) box.className = "n";
          else box.title = text(cell);
        });
        return line;
      });
      body.replaceChildren(...page);
      back.disabled = first === 0;
      next.disabled = first + PAGE >= shown.length;
      back.hidden = next.hidden = shown.length <= PAGE;
      const last = Math.min(first + PAGE, shown.length);
      where.textContent = shown.length ? `${first + 1} to ${last} of ${shown.length}` : "no rows";
      [...heads.children].forEach((head, at) => {
        if (at === by) head.setAttribute("aria-sort", up ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
    };
    const choose = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      shown = rows.filter((row) => {
        const line = row.map(text).join(" ").toLowerCase();
        return words.every((word) => line.includes(word));
      });
      if (by >= 0) {
        // What has no value stays last, whichever way.
        const none = (row) => value(row[by]) === null;
        shown.sort((a, b) =>
          none(a) - none(b) || (up ? 1 : -1) * compare(value(a[by]), value(b[by])));
      }
      first = 0;
      draw();
    };
    columns.forEach(([title, numeric], at) => {
      const head = make("th", undefined, heads);
      head.scope = "col";
      if (numeric) head.className = "n";
      const press = make("button", title, head);
      press.type = "button";
      press.addEventListener("click", () => {
        // Numbers from the highest first.
        up = at === by ? !up : !numeric;
        by = at;
        choose();
      });
    });
    filter.addEventListener("input", choose);
    back.addEventListener("click", () => { first -= PAGE; draw(); });
    next.addEventListener("click", () => { first += PAGE; draw(); });
    choose();
  };
  document.querySelectorAll(".table").forEach(table);

  // Pictures: the point nearest to the pointer says what it is; arrow keys go from point to point.
  const REACH = 18;
  const tip = document.getElementById("tip");
  const picture = (svg) => {
    const points = [...svg.querySelectorAll(".m")].filter((mark) => mark.querySelector("title"))
      .map((mark) => {
        const title = mark.querySelector("title");
        const note = title.textContent;
        title.remove();
        const box = mark.getBBox();
        return { note, x: box.x + box.width / 2, y: box.y + box.height / 2, r: box.width / 2 };
      })
      .sort((a, b) => a.x - b.x);
    const ring = document.createElementNS(svg.namespaceURI, "circle");
    ring.setAttribute("class", "ring");
    let at = -1;
    const hide = () => { tip.hidden = true; ring.remove(); };
    const show = (which) => {
      at = which;
      const point = points[at];
      ring.setAttribute("cx", point.x);
      ring.setAttribute("cy", point.y);
      ring.setAttribute("r", point.r + 3);
      svg.append(ring);
      tip.textContent = point.note;
      tip.hidden = false;
      const box = ring.getBoundingClientRect(), size = tip.getBoundingClientRect();
      const left = Math.min(Math.max(box.left, 6), innerWidth - size.width - 6);
      const under = box.bottom + 8, over = box.top - size.height - 8;
      tip.style.left = `${Math.max(left, 6)}px`;
      tip.style.top = `${under + size.height > innerHeight && over > 0 ? over : under}px`;
    };
    svg.addEventListener("pointermove", (event) => {
      const to = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      const far = (point) => Math.hypot(point.x - to.x, point.y - to.y);
      const near = points.reduce((best, point, which) =>
        best < 0 || far(point) < far(points[best]) ? which : best, -1);
      if (near >= 0 && far(points[near]) < REACH) show(near); else hide();
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step || !points.length) return;
      event.preventDefault();
      show((at + step + points.length) % points.length);
    });
  };
  document.querySelectorAll("figure svg").forEach(picture);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
})();
