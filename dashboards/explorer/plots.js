// Figures by plotly.js, in the colours of the page. Only kinds that draw without WebGL are used:
// the others make scripts from text, which the page's security policy forbids.

// It is fetched beside everything else: the trials are asked for before it is there.
const loaded = new Promise((resolve, reject) => {
  const script = document.querySelector("script[src='plotly.js']");
  if (window.Plotly) resolve(window.Plotly);
  script.addEventListener("load", () => resolve(window.Plotly));
  script.addEventListener("error", () => reject(new Error("plotly.js could not be loaded")));
});

// Told apart by all kinds of colour vision: Okabe and Ito 2008, without their black and yellow.
export const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// A colour one sees through. Plotly's `opacity` would have every single point composed by itself.
export const faint = (name) => `${colour(name)}a6`;

// Plotly reads a little HTML in texts; what studies say is none.
export const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

export function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 8 }, gridcolor: colour("line"), linecolor: colour("grey"),
    zeroline: false, automargin: true, ...more,
  };
}

export async function draw(node, traces, layout) {
  const Plotly = await loaded;
  const narrow = node.clientWidth < 480;
  await Plotly.react(node, traces, {
    font: { family: "system-ui, sans-serif", size: narrow ? 11 : 13, color: colour("ink") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("grey"), font: { color: colour("ink") }, align: "left" },
    legend: { orientation: "h", yanchor: "bottom", y: 1.0, x: 0 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("grey"), activecolor: colour("accent") },
    margin: { l: 10, r: 10, t: 30, b: 10 }, hovermode: "closest", dragmode: "pan", ...layout,
  }, { responsive: true, displaylogo: false, scrollZoom: false, displayModeBar: narrow ? false : "hover",
       modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
  // A trial that opens or closes beside it leaves a figure less room or more.
  if (Math.abs(node._fullLayout.width - node.clientWidth) > 1) await Plotly.Plots.resize(node);
  return Plotly;
}
