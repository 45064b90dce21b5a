// Bars over time, one on top of the other, by uPlot. What they say stands in a table beside them, too.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { h, refill } from "./dom.js";
import { amount } from "./parts.js";
import { colour, onColours } from "./theme.js";
import { satShort } from "./words.js";

const HEIGHT = 240;
export const COLOURS = 7;

/** Which colour the group at this place has; those beyond share the last. */
export const tint = (place) => Math.min(place, COLOURS - 1);

/** `steps` in ms, `lines` of {name, values (msat)}; `label` says what it is. */
export function bars(signal, steps, lines, { label, dayLong = false }) {
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const place = h("div", { class: "plot", role: "img", "aria-label": label });
  const own = new AbortController();
  let plot = null;

  const read = (at) => {
    if (at === null || at === undefined) return refill(readout, lines.slice(0, COLOURS).map((line, n) => item(line.name, n)));
    const total = lines.reduce((sum, line) => sum + line.values[at], 0);
    const there = lines.map((line, n) => [line, n]).filter(([line]) => line.values[at]);
    refill(readout, h("b", {}, stamp(steps[at], dayLong)), " ", h("b", {}, amount(total)));
    for (const [line, n] of there.slice(0, 5))
      readout.append(item([line.name, " ", amount(line.values[at], { unit: false })], n));
  };

  const draw = () => {
    plot?.destroy();
    const width = place.clientWidth;
    if (!width) return;
    plot = new uPlot(options(width, lines, read, dayLong), stacked(steps, lines), place);
  };
  // In the next frame: what is drawn within this one may change what was just measured.
  const fit = () => {
    if (own.signal.aborted) return;
    if (!place.isConnected) own.abort();
    else if (plot && place.clientWidth) plot.setSize({ width: place.clientWidth, height: HEIGHT });
    else draw();
  };
  const watch = new ResizeObserver(() => requestAnimationFrame(fit));
  watch.observe(place);
  onColours(() => requestAnimationFrame(() => own.signal.aborted || draw()), own.signal);
  signal.addEventListener("abort", () => own.abort(), { signal: own.signal });
  own.signal.addEventListener("abort", () => {
    watch.disconnect();
    plot?.destroy();
    plot = null;
  });
  read(null);
  return h("div", { class: "chart" }, readout, place);
}

const item = (words, n) => h("span", { class: "item" }, h("i", { class: `dot t-${tint(n)}` }), words);

/** The first line at the bottom; drawn from the top down, so that each covers what is below it. */
function stacked(steps, lines) {
  const sums = new Array(steps.length).fill(0);
  const columns = lines.map((line) => line.values.map((value, n) => (sums[n] += value)));
  return [steps.map((ms) => ms / 1000), ...columns.reverse()];
}

function options(width, lines, read, dayLong) {
  const ink = colour("quiet");
  const rule = colour("line");
  const axis = { stroke: ink, font: "12px Inter, system-ui, sans-serif", ticks: { show: false } };
  const paths = uPlot.paths.bars({ size: [0.72, 26], radius: 0.12, align: 1 });
  const series = lines.map((_, n) => {
    const fill = colour(`t-${tint(lines.length - 1 - n)}`);
    return { fill, stroke: fill, width: 0, paths, points: { show: false } };
  });
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    ...(dayLong ? { tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC") } : {}),
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    hooks: { setCursor: [(plot) => read(plot.cursor.left >= 0 ? plot.cursor.idx : null)] },
    scales: { x: { time: true, range: (_, low, high) => [low, high + (high - low) / Math.max(lines[0]?.values.length - 1, 1)] }, y: { range: (_, __, high) => [0, high > 0 ? high * 1.08 : 1000] } },
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 70, values: (_, ticks) => ticks.map((at) => tick(at * 1000, dayLong)) },
      { ...axis, grid: { stroke: rule, width: 1 }, size: 52, space: 44, values: (_, ticks) => ticks.map(satShort) },
    ],
    series: [{}, ...series],
  };
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const UTC_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const LONG = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

function tick(ms, dayLong) {
  if (dayLong) return UTC_DAY.format(ms);
  const midnight = new Date(ms).getHours() === 0 && new Date(ms).getMinutes() === 0;
  return midnight ? DAY.format(ms) : TIME.format(ms);
}

function stamp(ms, dayLong) {
  return dayLong ? LONG.format(ms) : `${DAY.format(ms)}, ${TIME.format(ms)}`;
}
