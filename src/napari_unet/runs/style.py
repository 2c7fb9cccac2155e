"""How a report looks, in light and in dark surroundings and on paper."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6875; --page: #f4f6f8;
  --card: #ffffff; --rule: #dfe4ea; --loss: #2f6fb0; --held-out: #d1661b; --rate: #16866a;
  --good: #16866a; --bad: #b3362b; --warn: #8a5a00; --warn-back: #fdf3dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --soft: #9aa6b2; --page: #14181d;
  --card: #1d232a; --rule: #323b45; --loss: #6db3f2; --held-out: #f2a25c; --rate: #4fc3a1;
  --good: #4fc3a1; --bad: #f08072; --warn: #f1cb7a; --warn-back: #352c17; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 60px; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 34px 0 10px; }
p { margin: 6px 0; } .soft { color: var(--soft); }
.status { display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: 13px;
  border: 1px solid currentColor; color: var(--soft); }
.status.finished { color: var(--good); } .status.failed { color: var(--bad); }
.figures, .plots, .pictures { display: grid; gap: 14px; }
.figures { grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); margin-top: 20px; }
.plots { grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); }
.pictures { grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); }
.card, figure { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 12px 16px; margin: 0; }
.card b { display: block; font-size: 20px; font-weight: 600; }
.figures .card { font-size: 13px; padding: 10px 12px; color: var(--soft); }
.figures b { color: var(--ink); }
figure img { width: 100%; display: block; border-radius: 4px; }
figcaption { padding-top: 8px; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; }
svg .title { fill: var(--ink); font-size: 13px; font-weight: 600; }
svg .tick { fill: var(--soft); font-size: 11px; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 5px 14px 5px 0; vertical-align: top;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--soft); font-size: 13px; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.name { width: 190px; color: var(--soft); } tr.mean td { font-weight: 600; }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 8px; vertical-align: -1px; }
pre { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 12px 16px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
.warning { background: var(--warn-back); color: var(--warn); border-radius: 8px;
  padding: 8px 14px; margin: 6px 0; }
@media print { body { background: #fff; } .card, figure, pre { break-inside: avoid; } }
"""
