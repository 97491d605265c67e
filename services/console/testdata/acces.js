// Checks of one page that need no library: names of fields, landmarks, headings, focus
// order, a focus that is seen, and the contrast of each text against what is behind it
// (WCAG 1.3.1, 2.4.3, 2.4.6, 2.4.7, 3.3.2, 1.4.3, 1.4.11). It returns what it found, one
// line each.
(() => {
  const found = [];
  const seen = (el) => el.checkVisibility({ checkVisibilityCSS: true }) && el.getClientRects().length > 0;
  const named = (el) => (el.labels && el.labels.length) || el.getAttribute("aria-label") || el.getAttribute("aria-labelledby") || el.title;
  for (const el of document.querySelectorAll("input:not([type=hidden]):not([hidden]), select, textarea")) if (!named(el)) found.push("field without a label: " + el.outerHTML.slice(0, 80));
  for (const el of document.querySelectorAll("button, a[href], summary")) if (seen(el) && !(el.textContent.trim() || el.getAttribute("aria-label"))) found.push("nothing to read: " + el.outerHTML.slice(0, 80));
  for (const el of document.querySelectorAll("iframe, img")) if (!el.title && !el.alt) found.push("frame without a title: " + el.outerHTML.slice(0, 80));
  for (const el of document.querySelectorAll("[tabindex]")) if (el.tabIndex > 0) found.push("focus order is forced: " + el.outerHTML.slice(0, 80));
  const ids = new Set();
  for (const el of document.querySelectorAll("[id]")) { if (ids.has(el.id)) found.push("id twice: " + el.id); ids.add(el.id); }
  for (const el of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")) {
    for (const id of `${el.getAttribute("aria-labelledby") || ""} ${el.getAttribute("aria-describedby") || ""} ${el.htmlFor || ""}`.trim().split(/\s+/)) if (id && !document.getElementById(id)) found.push("refers to nothing: " + id);
  }
  if (document.querySelectorAll("main").length !== 1 || document.querySelectorAll("body > header").length !== 1 || document.querySelectorAll("body > footer").length !== 1) found.push("not one header, one main, one footer");
  for (const el of document.body.children) if (seen(el) && !el.matches("header, main, footer, dialog, .skip, [role=status], [role=alert], script")) found.push("outside of all landmarks: " + el.outerHTML.slice(0, 80));
  const navs = [...document.querySelectorAll("nav")].map((n) => n.getAttribute("aria-label") || "");
  for (const n of navs) if (!n || navs.indexOf(n) !== navs.lastIndexOf(n)) found.push("navigations of one name: " + n);
  if (!/\S — Greffe$/.test(document.title)) found.push("title: " + document.title);
  if (document.documentElement.lang !== "fr") found.push("no language");
  let level = 0;
  const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter((h) => seen(h) && !h.closest("dialog"));
  if (headings.filter((h) => h.tagName === "H1").length !== 1) found.push("not one h1");
  for (const h of headings) { const n = Number(h.tagName[1]); if (n > level + 1) found.push("heading jumps: " + h.textContent); level = n; }
  const rgb = (s) => { const m = s.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (el) => { const stack = []; for (let e = el; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); stack.push(c); if (c[3] === 1) break; } return stack.reverse().reduce((under, c) => over(c, under), [255, 255, 255]); };
  const told = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    const el = n.parentElement;
    if (!n.data.trim() || !el || !seen(el) || el.closest(".sr, script, style, option")) continue;
    const style = getComputedStyle(el), back = behind(el), front = over(rgb(style.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const big = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const key = style.color + " on " + back;
    if (ratio < (big ? 3 : 4.5) && !told.has(key)) { told.add(key); found.push(`contrast ${ratio.toFixed(2)} of "${n.data.trim().slice(0, 30)}" (${key})`); }
  }
  const had = document.activeElement;
  for (const el of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")) {
    if (!seen(el) || el.disabled) continue;
    el.focus({ focusVisible: true, preventScroll: true });
    if (document.activeElement !== el) { found.push("takes no focus: " + el.outerHTML.slice(0, 80)); continue; }
    const style = getComputedStyle(el), inside = parseFloat(style.outlineOffset) < 0;
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) { found.push("focus is not seen: " + el.outerHTML.slice(0, 80)); continue; }
    const back = behind(inside ? el : el.parentElement), [a, b] = [light(over(rgb(style.outlineColor), back)), light(back)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 3) found.push("focus is hardly seen: " + el.outerHTML.slice(0, 80));
  }
  if (had && had !== document.body) had.focus({ preventScroll: true }); else document.activeElement.blur();
  return found.join("\n");
})()
