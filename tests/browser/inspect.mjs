// Finds what a reader would stumble over in an open page: texts that overlap, texts that are cut off, and cells that are
// hidden. Runs within the page, so it refers to nothing outside of itself.
export const inspect = () => {
  const faults = [];
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  // For screen readers alone.
  const unseen = (element) => {
    for (let around = element; around; around = around.parentElement) {
      if (getComputedStyle(around).clipPath !== "none") return true;
    }
    return element.closest(".skip") !== null;
  };
  const excerpt = (text) => text.trim().replace(/\s+/g, " ").slice(0, 40);
  const scrolls = (style) => /auto|scroll/.test(style.overflowX + style.overflowY);
  const meet = (one, other) => ({
    left: Math.max(one.left, other.left),
    right: Math.min(one.right, other.right),
    top: Math.max(one.top, other.top),
    bottom: Math.min(one.bottom, other.bottom),
  });

  // The part of a box that can be seen, and whether more than a pixel of it is cut off for good.
  const visible = (box, element) => {
    let part = { left: box.left, right: box.right, top: box.top, bottom: box.bottom };
    let reachable = false;
    let isCut = false;
    for (let around = element; around; around = around.parentElement) {
      const style = getComputedStyle(around);
      if (style.position === "fixed") break;
      if (around === document.documentElement || !/auto|scroll|hidden|clip/.test(style.overflowX + style.overflowY)) continue;
      const frame = around.getBoundingClientRect();
      if (scrolls(style)) reachable = true;
      else if (!reachable) {
        isCut ||= part.left < frame.left - 1 || part.right > frame.right + 1;
        isCut ||= part.top < frame.top - 1 || part.bottom > frame.bottom + 1;
      }
      part = meet(part, frame);
    }
    const width = document.documentElement.clientWidth;
    isCut ||= !reachable && (part.left < -1 || part.right > width + 1);
    return { part, isCut };
  };

  // Every line of every text, and every box that no text may run into.
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("script, style, option") || !shown(element) || unseen(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const line of range.getClientRects()) {
      if (line.width < 1 || line.height < 1) continue;
      const { part, isCut } = visible(line, element);
      if (isCut) faults.push(`"${excerpt(node.data)}" is cut off`);
      // The letters of a line do not fill its height.
      const inset = line.height * 0.22;
      boxes.push({ ...part, top: part.top + inset, bottom: part.bottom - inset, element, text: excerpt(node.data) });
    }
  }
  for (const element of document.querySelectorAll("svg.chart, svg.range, input, select, button")) {
    if (element.type === "hidden" || !shown(element)) continue;
    const { part } = visible(element.getBoundingClientRect(), element);
    boxes.push({ ...part, element, text: `<${element.localName}>` });
  }
  const standing = boxes.filter((box) => box.right - box.left > 1 && box.bottom - box.top > 1);
  standing.sort((one, other) => one.top - other.top);
  // What is opened over the page covers what is below it.
  const layer = (element) => element.closest(".sheet, .stale");
  standing.forEach((one, index) => {
    for (const other of standing.slice(index + 1)) {
      if (other.top >= one.bottom) break;
      const both = meet(one, other);
      if (both.right - both.left < 2 || both.bottom - both.top < 2) continue;
      if (one.element.contains(other.element) || other.element.contains(one.element)) continue;
      if (layer(one.element) !== layer(other.element)) continue;
      faults.push(`"${one.text}" and "${other.text}" overlap`);
    }
  });

  // A hint in a field is read whole.
  const pen = document.createElement("canvas").getContext("2d");
  for (const field of document.querySelectorAll("input[placeholder]")) {
    const style = getComputedStyle(field);
    pen.font = style.font;
    const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (pen.measureText(field.placeholder).width > room + 1) faults.push(`the hint "${field.placeholder}" is cut off`);
  }

  // A cell that says something is shown, also where the screen is narrow; what is folded up can be opened.
  for (const cell of document.querySelectorAll("td, dd, dt, tbody th")) {
    const folded = cell.closest("details:not([open])");
    if (cell.textContent.trim() && !folded && !shown(cell)) faults.push(`the cell "${excerpt(cell.textContent)}" is hidden`);
  }
  for (const element of document.querySelectorAll("body *")) {
    const style = getComputedStyle(element);
    if (element.closest("svg") || element.matches("input, select") || !shown(element) || unseen(element)) continue;
    if (element.scrollWidth <= element.clientWidth + 1 || element.clientWidth === 0 || style.overflowX === "visible") continue;
    // Only what shows by its shadow that there is more may be wider than its frame.
    if (!element.matches(".scroll")) faults.push(`<${element.localName} class="${element.className}"> hides a part of its width`);
    else if (element.matches(".cards") && innerWidth <= 640) faults.push(`the cards of "${element.ariaLabel}" are too wide`);
  }
  return [...new Set(faults)];
};
