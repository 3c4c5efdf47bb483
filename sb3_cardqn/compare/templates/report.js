"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
// a finger that scrolls the page must not zoom a chart
const fixedrange = matchMedia("(pointer: coarse)").matches;
const dark = matchMedia("(prefers-color-scheme: dark)");

function draw(chart) {
  const figure = figures[chart.dataset.figure];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { fixedrange, gridcolor: colour("--rule"), linecolor: colour("--rule"), tickcolor: colour("--rule") };
  const layout = {
    ...figure.layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--ink") },
    hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--rule"), font: { color: colour("--ink") } },
    xaxis: { ...figure.layout.xaxis, ...axis },
    yaxis: { ...figure.layout.yaxis, ...axis },
  };
  return Plotly.react(chart, figure.data, layout, { responsive: true, displayModeBar: false });
}

const charts = document.querySelectorAll("[data-figure]");
charts.forEach(draw);
dark.addEventListener("change", () => charts.forEach(draw));
document.querySelectorAll("[name=axis]").forEach((input) =>
  input.addEventListener("change", () => {
    const chart = document.getElementById("learning_curves");
    chart.dataset.figure = input.value;
    draw(chart);
  })
);
