"use strict";
// Draws the report of a run, or a comparison of runs, from the JSON in the page. Names and paths are only ever
// inserted as text.

// ------------------------------------------------------------------------------------------------- elements

const svg_namespace = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes))
        if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    for (const child of children.flat())
        if (child !== null && child !== undefined) node.append(child);
    return node;
}
const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const shape = (tag, attributes = {}, ...children) => fill(document.createElementNS(svg_namespace, tag), attributes, children);

// -------------------------------------------------------------------------------------------------- numbers

const absent = "–";
const known = value => typeof value === "number" && Number.isFinite(value);
const fixed = digits => value => known(value) ? value.toFixed(digits) : absent;
const percent = (value, digits = 1) => known(value) ? `${(100 * value).toFixed(digits)} %` : absent;
const whole = value => known(value) ? value.toLocaleString("en-US") : absent;
const four_digits = value => known(value) ? String(Number(value.toPrecision(4))) : absent;
const short_percent = value => percent(value, known(value) && Math.abs(100 * value - Math.round(100 * value)) > 1e-6 ? 1 : 0);
const plural = (count, word) => `${whole(count)} ${word}${count === 1 ? "" : "s"}`;
const sum = values => values.reduce((total, value) => total + value, 0);

function duration(seconds) {
    if (!known(seconds)) return absent;
    const rest = Math.round(seconds);
    if (rest < 60) return seconds < 10 ? `${seconds.toFixed(1)} s` : `${rest} s`;
    if (rest < 3600) return `${Math.floor(rest / 60)} min ${rest % 60} s`;
    return `${Math.floor(rest / 3600)} h ${Math.floor(rest % 3600 / 60)} min`;
}

/// Round values that cover [low, high], about `count` of them.
function ticks(low, high, count) {
    const raw = (high - low) / Math.max(count, 1);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map(factor => factor * power).find(size => size >= raw * 0.999);
    const values = [];
    for (let index = Math.floor(low / step + 1e-9); index * step < high + step * (1 - 1e-9); ++index)
        values.push(Number((index * step).toPrecision(12)));
    return values;
}

/// A width in pixels that a text of `size` px may take.
const text_width = (text, size = 12) => Math.ceil(text.length * size * 0.6);

/// A text of at most `letters`, which keeps its end: names often differ there.
function clipped(text, letters) {
    const end = Math.floor((letters - 1) / 3);
    return text.length <= letters ? text : `${text.slice(0, letters - 1 - end)}…${text.slice(text.length - end)}`;
}

// --------------------------------------------------------------------------------------------------- tables

/// `columns`: {name, text, left, value, cell}; a column with `value` sorts. The first one names the rows.
function table(caption, columns, rows, total = null) {
    const body = element("tbody");
    const draw = ordered => body.replaceChildren(...ordered.map(row => element("tr", {}, columns.map((column, index) => {
        const place = index === 0 ? "name text" : column.left ? "text" : null;
        const text = column.text(row);
        return element(index === 0 ? "th" : "td", {scope: index === 0 ? "row" : null, class: place, title: index === 0 ? text : null},
                       column.cell ? [column.cell(row, text)].flat() : text);
    }))));
    draw(rows);
    const heads = columns.map((column, index) => {
        const head = element("th", {scope: "col", class: column.left || index === 0 ? "text" : null});
        if (!column.value) return fill(head, {}, [column.name]);
        const button = element("button", {type: "button"}, column.name);
        button.addEventListener("click", () => {
            const descending = head.getAttribute("aria-sort") !== "descending";
            for (const other of heads) other.removeAttribute("aria-sort");
            head.setAttribute("aria-sort", descending ? "descending" : "ascending");
            const order = row => { const value = column.value(row); return known(value) ? value : -Infinity; };
            draw([...rows].sort((a, b) => descending ? order(b) - order(a) : order(a) - order(b)));
        });
        return fill(head, {}, [button]);
    });
    return element("div", {class: rows.length > 20 ? "scroll tall" : "scroll", tabindex: 0, role: "region", "aria-label": caption},
        element("table", {}, element("caption", {class: "hidden"}, caption), element("thead", {}, element("tr", {}, heads)),
            body, total ? element("tfoot", {}, element("tr", {}, total.map((text, index) =>
                element(index === 0 ? "th" : "td", {scope: index === 0 ? "row" : null, class: columns[index].left ? "text" : null}, text)))) : null));
}

/// The numbers behind a figure.
const data_table = (caption, columns, rows) =>
    element("details", {}, element("summary", {}, "Data table"), table(`${caption}, data table`, columns, rows));

// --------------------------------------------------------------------------------------------------- figures

/// What draws the figures for the first time, when the page is put together.
const first_draws = [];

/// Calls `draw(width)` when the page is put together and whenever the width of `box` changes.
function draw_to_width(box, draw) {
    let drawn = 0;
    const update = () => {
        const width = Math.floor(box.clientWidth);
        if (width > 0 && width !== drawn) draw(drawn = width);
    };
    first_draws.push(update);
    new ResizeObserver(() => requestAnimationFrame(update)).observe(box);
}

function tip_box() {
    const tip = element("div", {class: "tip", hidden: true});
    return {
        tip,
        show(x, y, width, ...children) {
            tip.replaceChildren(...children);
            tip.hidden = false;
            const left = x + 14 + tip.offsetWidth <= width ? x + 14 : x - 14 - tip.offsetWidth;
            tip.style.left = `${Math.max(Math.min(left, width - tip.offsetWidth), 0)}px`;
            tip.style.top = `${y}px`;
        },
        hide() { tip.hidden = true; },
    };
}

const dashes = ["", "6 4", "2 4"];
const series_color = index => `var(--series-${index % 8 + 1})`;

/// A figure of lines over epochs. `series`: {name, epochs, values, color, dash, best: the marked epoch or null}.
function line_chart({id, title, series, format, low_limit, high_limit, span = 0, empty}) {
    const shown = series.filter(line => line.values.some(known));
    if (shown.length === 0)
        return element("figure", {class: "card stretch", id}, element("h3", {}, title), element("p", {class: "empty"}, empty));

    const legend = element("ul", {class: "legend"}, shown.length < 2 && !shown[0].legend ? [] : shown.map(line => element("li", {},
        shape("svg", {viewBox: "0 0 22 10", "aria-hidden": "true"}, shape("line", {x1: 1, x2: 21, y1: 5, y2: 5, "stroke-width": 2.5,
            "stroke-dasharray": line.dash || null, style: `stroke:${line.color}`})), line.name)));
    const epochs = [...new Set(shown.flatMap(line => line.epochs))].sort((a, b) => a - b);
    for (const line of shown) line.at = new Map(line.epochs.map((epoch, index) => [epoch, line.values[index]]));

    const values = shown.flatMap(line => line.values).filter(known);
    let low = Math.min(...values);
    let high = Math.max(...values);
    if (high - low <= span) {
        const room = span / 2 || Math.abs(high) * 0.1 || 0.1;
        low -= room;
        high += room;
    }
    if (low_limit !== undefined && (low < low_limit || low - low_limit < 0.25 * (high - low))) low = low_limit;
    let y_ticks = ticks(low, high, 5);
    if (high_limit !== undefined) y_ticks = y_ticks.filter(tick => tick <= high_limit + 1e-9);
    if (low_limit !== undefined) y_ticks = y_ticks.filter(tick => tick >= low_limit - 1e-9);
    low = Math.min(y_ticks[0], low_limit === undefined ? y_ticks[0] : Math.max(low, low_limit));
    high = Math.max(y_ticks[y_ticks.length - 1], high_limit === undefined ? y_ticks[0] : Math.min(high, high_limit));

    const height = 236;
    const margin = {left: Math.max(...y_ticks.map(tick => text_width(format(tick)))) + 10, right: 12, top: 18, bottom: 40};
    const first = epochs[0];
    const last = epochs[epochs.length - 1];
    const {tip, ...tips} = tip_box();
    const spoken = element("p", {class: "hidden", "aria-live": "polite"});
    const canvas = element("div");
    const ends = shown.map(line => {
        const index = line.values.findLastIndex(known);
        return `${line.name} ${format(line.values[index])} after epoch ${line.epochs[index]}`;
    });
    const plot = element("div", {class: "plot", tabindex: 0, role: "group",
        "aria-label": `${title} over ${plural(epochs.length, "epoch")}: ${ends.join(", ")}. Left and right arrow keys read the values.`},
        canvas, tip);

    let scale = null;
    let at = null;
    const marks = shape("g");
    const point_at = (epoch, speak) => {
        at = epoch;
        const x = scale.x(epoch);
        const here = shown.map(line => ({line, value: line.at.get(epoch)}));
        marks.replaceChildren(shape("line", {class: "cursor", x1: x, x2: x, y1: margin.top, y2: height - margin.bottom}),
            ...here.filter(({value}) => known(value)).map(({line, value}) =>
                shape("circle", {cx: x, cy: scale.y(value), r: 4, style: `fill:${line.color};stroke:var(--card);stroke-width:2`})));
        tips.show(x, margin.top, scale.width, element("b", {}, `Epoch ${epoch}`), ...here.map(({line, value}) =>
            element("div", {class: "row"}, element("i", {style: `background:${line.color}`}), element("span", {}, line.name), element("span", {}, format(value)))));
        if (speak) spoken.textContent = `Epoch ${epoch}: ${here.map(({line, value}) => `${line.name} ${format(value)}`).join(", ")}`;
    };
    const leave = () => { at = null; marks.replaceChildren(); tips.hide(); };
    plot.addEventListener("pointermove", event => {
        const x = event.clientX - plot.getBoundingClientRect().left;
        const nearest = epochs.reduce((best, epoch) => Math.abs(scale.x(epoch) - x) < Math.abs(scale.x(best) - x) ? epoch : best);
        if (nearest !== at) point_at(nearest, false);
    });
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("blur", leave);
    plot.addEventListener("keydown", event => {
        const index = at === null ? -1 : epochs.indexOf(at);
        const goal = {ArrowRight: index + 1, ArrowLeft: at === null ? epochs.length - 1 : index - 1, Home: 0, End: epochs.length - 1}[event.key];
        if (event.key === "Escape") leave();
        if (goal === undefined) return;
        event.preventDefault();
        point_at(epochs[Math.min(Math.max(goal, 0), epochs.length - 1)], true);
    });

    draw_to_width(plot, width => {
        leave();
        const inner = width - margin.left - margin.right;
        scale = {
            width,
            x: epoch => margin.left + (last === first ? inner / 2 : (epoch - first) / (last - first) * inner),
            y: value => height - margin.bottom - (value - low) / (high - low) * (height - margin.top - margin.bottom),
        };
        const whole_ticks = last === first ? [first] :
            [...new Set([first, ...ticks(first, last, Math.max(Math.min(inner / 60, 8), 2)).filter(tick => Number.isInteger(tick))])]
                .filter(tick => tick >= first && tick <= last && (tick === first || scale.x(tick) - scale.x(first) > 24));
        canvas.replaceChildren(shape("svg", {width, height, role: "img", "aria-hidden": "true"},
            y_ticks.map(tick => [
                shape("line", {class: "gridline", x1: margin.left, x2: width - margin.right, y1: scale.y(tick), y2: scale.y(tick)}),
                shape("text", {x: margin.left - 8, y: scale.y(tick) + 4, "text-anchor": "end"}, format(tick))]).flat(),
            shape("line", {class: "axis", x1: margin.left, x2: width - margin.right, y1: height - margin.bottom, y2: height - margin.bottom}),
            whole_ticks.map(tick => shape("text", {x: scale.x(tick), y: height - margin.bottom + 17, "text-anchor": "middle"}, tick)),
            shape("text", {x: margin.left + inner / 2, y: height - 4, "text-anchor": "middle"}, "epoch"),
            shown.map(line => draw_line(line, scale)).flat(),
            shown.map(line => draw_best(line, scale, shown.length, {margin, height, width})).flat(),
            marks));
    });

    const columns = [{name: "Epoch", text: epoch => String(epoch)},
                     ...shown.map(line => ({name: line.name, text: epoch => format(line.at.get(epoch))}))];
    return element("figure", {class: "card", id, "data-points": epochs.length},
        element("figcaption", {}, element("div", {class: "head"}, element("h3", {}, title), legend)),
        plot, spoken, data_table(title, columns, epochs));
}

/// The line of a series: it breaks where a value is absent, and a value between two absent ones is a dot.
function draw_line(line, scale) {
    let path = "";
    const dots = [];
    line.values.forEach((value, index) => {
        if (!known(value)) return;
        const before = known(line.values[index - 1]);
        path += `${before ? "L" : "M"}${scale.x(line.epochs[index]).toFixed(2)} ${scale.y(value).toFixed(2)}`;
        if (!before && !known(line.values[index + 1]))
            dots.push(shape("circle", {cx: scale.x(line.epochs[index]), cy: scale.y(value), r: 3.5, style: `fill:${line.color}`}));
    });
    return [shape("path", {class: "line", d: path, "stroke-dasharray": line.dash || null, style: `stroke:${line.color}`}), ...dots];
}

/// The mark of a series' best epoch; it is labeled where there is one such mark.
function draw_best(line, scale, lines, {margin, height, width}) {
    const value = line.best ? line.at.get(line.best) : null;
    if (!known(value)) return [];
    const x = scale.x(line.best);
    const ring = shape("circle", {cx: x, cy: scale.y(value), r: 5, style: `fill:var(--card);stroke:${line.color};stroke-width:2.5`});
    if (!line.best_label) return [ring];
    const half = text_width(line.best_label) / 2;
    return [shape("line", {class: "best", x1: x, x2: x, y1: margin.top, y2: height - margin.bottom}), ring,
            shape("text", {class: "strong", x: Math.min(Math.max(x, margin.left + half), width - half), y: 11, "text-anchor": "middle"}, line.best_label)];
}

/// Rows are labels, columns are answers; a cell's strength is its share of the row.
function confusion_matrix(classes, counts) {
    const count = classes.length;
    const totals = counts.map(sum);
    const longest = Math.max(...classes.map(name => name.length));
    const letters = Math.min(longest, 14);
    const {tip, ...tips} = tip_box();
    const canvas = element("div");
    const spoken = element("p", {class: "hidden", "aria-live": "polite"});
    const plot = element("div", {class: "plot", tabindex: 0, role: "group",
        "aria-label": `Confusion matrix of ${plural(count, "class")}. Arrow keys read the cells.`.replace("classs", "classes")}, canvas, tip);
    const sentence = (label, answer) => {
        const times = counts[label][answer];
        return `${times} of ${totals[label]} ${label === answer ? "right" : `answered ${classes[answer]}`}`;
    };
    let place = null;
    let at = null;
    const frame = shape("g");
    const point_at = (label, answer, speak) => {
        at = [label, answer];
        const {left, top, cell, width} = place;
        frame.replaceChildren(shape("rect", {x: left + answer * cell, y: top + label * cell, width: cell, height: cell,
            fill: "none", style: "stroke:var(--text);stroke-width:1.5"}));
        tips.show(left + (answer + 0.5) * cell, top + (label + 1) * cell + 4, width, element("b", {}, `Label ${classes[label]}`),
            element("div", {}, sentence(label, answer)));
        if (speak) spoken.textContent = `Label ${classes[label]}: ${sentence(label, answer)}`;
    };
    const leave = () => { at = null; frame.replaceChildren(); tips.hide(); };
    plot.addEventListener("pointermove", event => {
        const box = plot.getBoundingClientRect();
        const answer = Math.floor((event.clientX - box.left - place.left) / place.cell);
        const label = Math.floor((event.clientY - box.top - place.top) / place.cell);
        if (answer < 0 || label < 0 || answer >= count || label >= count) return leave();
        if (at === null || at[0] !== label || at[1] !== answer) point_at(label, answer, false);
    });
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("blur", leave);
    plot.addEventListener("keydown", event => {
        const move = {ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0]}[event.key];
        if (event.key === "Escape") leave();
        if (!move) return;
        event.preventDefault();
        const inside = value => Math.min(Math.max(value, 0), count - 1);
        point_at(...(at === null ? [0, 0] : [inside(at[0] + move[0]), inside(at[1] + move[1])]), true);
    });
    draw_to_width(plot, width => {
        leave();
        const names = text_width("m".repeat(letters));
        const cell = Math.max(Math.min((width - names - 26) / count, 52), 2);
        const side = count * cell;
        const start = Math.max((width - names - 26 - side) / 2, 0);
        const left = start + names + 24;
        const turned = names > cell - 4;
        const top = 24 + (turned ? names : 18);
        const every = Math.ceil(13 / cell);
        place = {left, top, cell, width};
        const svg = shape("svg", {width, height: top + side + 2, role: "img", "aria-hidden": "true"},
            shape("text", {x: left + side / 2, y: 11, "text-anchor": "middle"}, "answer"),
            shape("text", {transform: `translate(${start + 11} ${top + side / 2}) rotate(-90)`, "text-anchor": "middle"}, "label"),
            shape("rect", {x: left, y: top, width: side, height: side, style: "fill:var(--grid);fill-opacity:.45"}));
        for (let label = 0; label < count; ++label) {
            const middle = (label + 0.5) * cell + 4;
            if (label % every === 0)
                svg.append(shape("text", {x: left - 7, y: top + middle, "text-anchor": "end"}, clipped(classes[label], letters)),
                    shape("text", turned ? {transform: `translate(${left + middle} ${top - 6}) rotate(-90)`} :
                        {x: left + middle - 4, y: top - 8, "text-anchor": "middle"}, clipped(classes[label], letters)));
            for (let answer = 0; answer < count; ++answer) {
                const times = counts[label][answer];
                if (times === 0) continue;
                const strength = 0.08 + 0.92 * (label === answer ? times / totals[label] : Math.sqrt(times / totals[label]));
                const gap = cell > 8 ? 1 : 0;
                svg.append(shape("rect", {x: left + answer * cell + gap, y: top + label * cell + gap, width: cell - 2 * gap, height: cell - 2 * gap,
                    rx: gap * 2, style: `fill:rgba(var(--matrix-${label === answer ? "right" : "wrong"}), ${strength.toFixed(3)})`}));
                if (cell >= 7 * String(times).length + 6)
                    svg.append(shape("text", {x: left + (answer + 0.5) * cell, y: top + middle, "text-anchor": "middle",
                        style: strength > 0.62 ? "fill:var(--card);font-weight:600" : "fill:var(--text)"}, times));
            }
        }
        svg.append(frame);
        canvas.replaceChildren(svg);
    });
    const columns = [{name: "Label", text: label => classes[label]},
                     ...classes.map((name, answer) => ({name, text: label => String(counts[label][answer])}))];
    return element("figure", {class: "card", id: "confusion", "data-points": count * count},
        element("figcaption", {}, element("h3", {}, "Confusion matrix"),
            element("p", {class: "soft small"}, "Rows are labels, columns are the student's answers. Right answers in blue, mistakes in orange.")),
        plot, spoken, data_table("Confusion matrix", columns, classes.map((_, label) => label)));
}

/// Accuracy of the answers in each range of confidence, against the confidence itself.
function reliability_diagram(bins, error) {
    const total = sum(bins.map(bin => bin.count));
    const height = 300;
    const margin = {left: 50, right: 12, top: 10, bottom: 92};
    const largest = Math.max(...bins.map(bin => bin.count), 1);
    const range = index => `${Math.round(100 * index / bins.length)}–${Math.round(100 * (index + 1) / bins.length)} %`;
    const {tip, ...tips} = tip_box();
    const canvas = element("div");
    const spoken = element("p", {class: "hidden", "aria-live": "polite"});
    const plot = element("div", {class: "plot", tabindex: 0, role: "group", "aria-label":
        `Reliability diagram of ${plural(total, "picture")}, expected calibration error ${percent(error)}. Left and right arrow keys read the bars.`}, canvas, tip);
    let place = null;
    let at = null;
    const facts = bin => bin.count === 0 ? ["no picture"] :
        [plural(bin.count, "picture"), `mean confidence ${percent(bin.confidence)}`, `accuracy ${percent(bin.accuracy)}`];
    const point_at = (index, speak) => {
        at = index;
        tips.show(place.x(index + 0.5), margin.top, place.width, element("b", {}, `Confidence ${range(index)}`),
            ...facts(bins[index]).map(text => element("div", {}, text)));
        if (speak) spoken.textContent = `Confidence ${range(index)}: ${facts(bins[index]).join(", ")}`;
    };
    const leave = () => { at = null; tips.hide(); };
    plot.addEventListener("pointermove", event => {
        const index = Math.floor((event.clientX - plot.getBoundingClientRect().left - margin.left) / (place.x(1) - place.x(0)));
        if (index < 0 || index >= bins.length) leave();
        else if (index !== at) point_at(index, false);
    });
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("blur", leave);
    plot.addEventListener("keydown", event => {
        const move = {ArrowRight: 1, ArrowLeft: -1}[event.key];
        if (event.key === "Escape") leave();
        if (!move) return;
        event.preventDefault();
        point_at(at === null ? 0 : Math.min(Math.max(at + move, 0), bins.length - 1), true);
    });
    draw_to_width(plot, width => {
        leave();
        const inner = width - margin.left - margin.right;
        const bottom = height - margin.bottom;
        const x = index => margin.left + index / bins.length * inner;
        const y = share => bottom - share * (bottom - margin.top);
        place = {x, width};
        const strip = {top: bottom + 26, bottom: height - 34};
        canvas.replaceChildren(shape("svg", {width, height, role: "img", "aria-hidden": "true"},
            [0, 0.25, 0.5, 0.75, 1].map(tick => [
                shape("line", {class: "gridline", x1: margin.left, x2: width - margin.right, y1: y(tick), y2: y(tick)}),
                shape("text", {x: margin.left - 8, y: y(tick) + 4, "text-anchor": "end"}, percent(tick, 0))]).flat(),
            bins.map((bin, index) => bin.count === 0 ? [] : [
                shape("rect", {x: x(index) + 1.5, width: inner / bins.length - 3, y: y(bin.accuracy), height: bottom - y(bin.accuracy), rx: 2,
                    style: "fill:var(--series-1)"}),
                shape("line", {x1: x(index) + 1.5, x2: x(index + 1) - 1.5, y1: y(bin.confidence), y2: y(bin.confidence),
                    style: "stroke:var(--series-2);stroke-width:3"}),
                shape("rect", {x: x(index) + 1.5, width: inner / bins.length - 3, y: strip.bottom - bin.count / largest * (strip.bottom - strip.top),
                    height: bin.count / largest * (strip.bottom - strip.top), style: "fill:var(--soft);fill-opacity:.55"})]).flat(),
            shape("line", {x1: x(0), x2: x(bins.length), y1: y(0), y2: y(1), "stroke-dasharray": "5 5", style: "stroke:var(--soft)"}),
            shape("line", {class: "axis", x1: margin.left, x2: width - margin.right, y1: bottom, y2: bottom}),
            shape("line", {class: "axis", x1: margin.left, x2: width - margin.right, y1: strip.bottom, y2: strip.bottom}),
            shape("text", {x: margin.left - 8, y: strip.bottom, "text-anchor": "end"}, "count"),
            [0, 0.25, 0.5, 0.75, 1].map(tick => shape("text", {x: x(tick * bins.length), y: strip.bottom + 16,
                "text-anchor": tick === 0 ? "start" : tick === 1 ? "end" : "middle"}, percent(tick, 0))),
            shape("text", {x: margin.left + inner / 2, y: height - 3, "text-anchor": "middle"}, "confidence of the answer")));
    });
    const key = (name, color, thick) => element("li", {}, shape("svg", {viewBox: "0 0 22 10", "aria-hidden": "true"},
        shape("rect", {x: 1, width: 20, y: 5 - thick / 2, height: thick, style: `fill:${color}`})), name);
    const columns = [{name: "Confidence", text: index => range(index)}, {name: "Pictures", text: index => whole(bins[index].count)},
                     {name: "Mean confidence", text: index => percent(bins[index].confidence)}, {name: "Accuracy", text: index => percent(bins[index].accuracy)}];
    return element("figure", {class: "card", id: "reliability", "data-points": bins.length},
        element("figcaption", {}, element("div", {class: "head"}, element("h3", {}, "Reliability diagram"),
                element("ul", {class: "legend"}, key("accuracy", "var(--series-1)", 9), key("mean confidence", "var(--series-2)", 3))),
            element("p", {class: "soft small"}, "Expected calibration error ", element("b", {}, percent(error)),
                ": the mean gap between confidence and accuracy. On the dashed line there is none.")),
        plot, spoken, data_table("Reliability diagram", columns, bins.map((_, index) => index)));
}

// ------------------------------------------------------------------------------------------ sections of a run

const section = (id, title, text, ...children) => element("section", {id, "aria-labelledby": `${id}-title`},
    element("header", {}, element("h2", {id: `${id}-title`}, title), text ? element("p", {}, text) : null), ...children);

const tile = (name, value, below) => element("div", {}, element("dt", {}, name), element("dd", {}, value), element("dd", {}, below || " "));
const share_bar = share => known(share) ? element("span", {class: "bar", "aria-hidden": "true"}, element("i", {style: `width:${(100 * share).toFixed(1)}%`})) : null;
const pairs = rows => element("dl", {class: "pairs"}, rows.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]).flat());

/// Precision, recall and F1 of each class.
function class_rows(classes, counts) {
    return classes.map((name, label) => {
        const right = counts[label][label];
        const pictures = sum(counts[label]);
        const answers = sum(counts.map(row => row[label]));
        const recall = pictures > 0 ? right / pictures : null;
        const precision = answers > 0 ? right / answers : null;
        const f1 = pictures + answers > 0 ? 2 * right / (pictures + answers) : null;
        const mistaken = counts[label].reduce((best, times, answer) =>
            answer !== label && times > 0 && (best < 0 || times > counts[label][best]) ? answer : best, -1);
        return {name, label, pictures, recall, precision, f1, mistaken, times: mistaken < 0 ? 0 : counts[label][mistaken]};
    });
}

const mean = values => { const here = values.filter(known); return here.length ? sum(here) / here.length : null; };

function class_table(classes, counts) {
    const rows = class_rows(classes, counts);
    const column = (name, key) => ({name, value: row => row[key], text: row => percent(row[key]),
                                    cell: (row, text) => [share_bar(row[key]), text]});
    const columns = [{name: "Class", text: row => row.name}, {name: "Pictures", value: row => row.pictures, text: row => whole(row.pictures)},
        column("Precision", "precision"), column("Recall", "recall"), {name: "F1", value: row => row.f1, text: row => percent(row.f1)}];
    const total = ["All", whole(sum(rows.map(row => row.pictures))), ...["precision", "recall", "f1"].map(key => percent(mean(rows.map(row => row[key]))))];
    return element("div", {class: "card stretch", id: "per-class"}, element("h3", {}, "Per class"),
        element("p", {class: "soft small"}, "Precision: share of the answers that are right. Recall: share of the pictures that are found."),
        element("div", {style: "height:8px"}), table("Per class", columns, rows, total));
}

function confusion_list(classes, counts) {
    const found = [];
    counts.forEach((row, label) => row.forEach((times, answer) => { if (label !== answer && times > 0) found.push({label, answer, times, share: times / sum(row)}); }));
    found.sort((a, b) => b.times - a.times || b.share - a.share);
    const columns = [{name: "Label", text: row => classes[row.label]}, {name: "Answered", left: true, text: row => classes[row.answer]},
                     {name: "Pictures", text: row => whole(row.times)}, {name: "Share", text: row => percent(row.share)}];
    return element("div", {class: "card stretch", id: "confusions"}, element("h3", {}, "Most frequent confusions"),
        found.length ? table("Most frequent confusions", columns, found.slice(0, 10)) : element("p", {class: "empty"}, "No mistakes."));
}

function picture_card(run, picture) {
    const name = index => known(index) ? run.classes[index] : absent;
    const row = (title, index, confidence, wrong) => [element("dt", {}, title),
        element("dd", {class: wrong ? "name wrong" : "name", title: name(index)}, name(index)), element("dd", {class: "share"}, percent(confidence, 0))];
    const description = `${picture.path}: label ${name(picture.label)}, the student answers ${name(picture.answer)}`;
    return element("li", {}, element("img", {src: picture.picture, alt: description, title: picture.path, loading: "lazy"}),
        element("dl", {}, row("Student", picture.answer, picture.confidence, known(picture.label) && picture.answer !== picture.label),
            row("Label", picture.label, picture.label_confidence),
            known(picture.teacher_confidence) ? row("Teacher", picture.teacher_answer, picture.teacher_confidence) : []));
}

const gallery = (run, pictures) => element("ul", {class: run.classes.some(name => name.length > 6) ? "gallery long-names" : "gallery"}, pictures.map(picture => picture_card(run, picture)));

function view_rows(run) {
    return element("div", {class: "views"}, run.views.map(row => element("figure", {},
        element("figcaption", {title: row.path}, known(row.label) ? run.classes[row.label] : "no label", element("span", {}, `  ${row.path}`)),
        element("div", {class: "strip"}, row.pictures.map((view, index) => element("div", {},
            element("img", {src: view.picture, alt: index === 0 ? `${row.path}, whole` : `${row.path}, view ${index}`, loading: "lazy"}),
            element("span", {class: "under"}, index === 0 ? "whole" : known(view.teacher_confidence) ?
                `${run.classes[view.teacher_answer]} ${percent(view.teacher_confidence, 0)}` : " ")))))));
}

function curves(run) {
    const metrics = run.metrics;
    const epochs = metrics.epoch;
    const best = run.kept_epoch;
    const pair = name => [{name: "training", epochs, values: metrics[`training_${name}`], color: series_color(1), dash: dashes[1]},
                          {name: "validation", epochs, values: metrics[`validation_${name}`], color: series_color(0), best, best_label: best ? `kept: epoch ${best}` : null}];
    return element("div", {class: "grid"},
        line_chart({id: "curve-loss", title: "Loss", series: pair("loss"), format: four_digits,
                    low_limit: 0, empty: "No epoch has a loss."}),
        line_chart({id: "curve-accuracy", title: "Accuracy", series: pair("accuracy"), format: short_percent, low_limit: 0, high_limit: 1, span: 0.1,
                    empty: "No picture has a label."}),
        line_chart({id: "curve-agreement", title: "Agreement with the teacher", series: pair("teacher_agreement"), format: short_percent, low_limit: 0, high_limit: 1, span: 0.1,
                    empty: "There is no teacher: the student learns from labels alone."}),
        line_chart({id: "curve-learning-rate", title: "Learning rate", format: four_digits, low_limit: 0, empty: "No epoch has a learning rate.",
                    series: [{name: "learning rate", epochs, values: metrics.learning_rate, color: series_color(0), best, best_label: best ? `kept: epoch ${best}` : null}]}));
}

function layer_table(run) {
    const columns = [{name: "Layer", text: layer => layer.name}, {name: "Output", text: layer => layer.output},
                     {name: "Parameters", value: layer => layer.parameters, text: layer => whole(layer.parameters || null)},
                     {name: "Multiply-adds", value: layer => layer.multiply_adds, text: layer => whole(layer.multiply_adds || null)}];
    return element("div", {class: "card"}, table("Layers", columns, run.layers,
        ["Total", "", whole(run.parameters), whole(sum(run.layers.map(layer => layer.multiply_adds)))]));
}

/// The figures of a run's kept epoch.
function key_figures(run) {
    const at = run.metrics.epoch.indexOf(run.kept_epoch);
    const value = name => at < 0 ? null : run.metrics[name][at];
    const count = run.validation ? run.validation.pictures : null;
    const accuracy = value("validation_accuracy");
    return {accuracy, loss: value("validation_loss"), agreement: value("validation_teacher_agreement"),
            deviation: known(accuracy) && count > 0 ? Math.sqrt(accuracy * (1 - accuracy) / count) : null, count,
            calibration: run.validation ? run.validation.calibration_error : null,
            seconds: sum(run.metrics.seconds.filter(known)), rate: mean(run.metrics.images_per_second)};
}

function state_of(run) {
    const done = run.metrics.epoch.length;
    return run.finished ? element("span", {class: "state"}, `finished, ${plural(done, "epoch")}`) :
        element("span", {class: "state training"}, `epoch ${done} of ${run.epochs}`);
}

function report(run) {
    document.title = `${run.name} – Bantam report`;
    const figures = key_figures(run);
    const validation = run.validation;
    const rules = {loss: "the lowest validation loss", accuracy: "the highest validation accuracy", last: "the last one"};
    const of_epoch = validation ? `The student of epoch ${validation.epoch} on ${plural(validation.pictures, "validation picture")}.` : "";
    const sections = [["curves", "Curves", section("curves", "Curves",
        "Training: augmented pictures, weights of the moment. Validation: whole pictures, weights to keep.", curves(run))]];
    if (validation && sum(validation.confusion.map(sum)) > 0) {
        const calibration = reliability_diagram(validation.reliability, validation.calibration_error);
        sections.push(["classes", "Classes", section("classes", "Classes", of_epoch,
            element("div", {class: "grid"}, confusion_matrix(run.classes, validation.confusion), class_table(run.classes, validation.confusion)))]);
        sections.push(["calibration", "Calibration", section("calibration", "Calibration and confusions", null,
            element("div", {class: "grid"}, calibration, confusion_list(run.classes, validation.confusion)))]);
        sections.push(["mistakes", "Mistakes", section("mistakes", "Worst mistakes",
            validation.mistakes.length ? "Validation pictures with a wrong answer, the least likely label first." : "There are no mistakes.", gallery(run, validation.mistakes))]);
    }
    if (validation) {
        sections.push(["disagreements", "Teacher", section("disagreements", "Largest disagreements with the teacher",
            !run.has_teacher ? "There is no teacher." : validation.disagreements.length ?
                "Validation pictures where student and teacher answer differently, ordered by the divergence of their answers (Kullback–Leibler)." :
                "Student and teacher give the same answers.", gallery(run, validation.disagreements))]);
    }
    if (run.views.length)
        sections.push(["views", "Views", section("views", "What the student sees",
            run.has_teacher ? "Each row: a training picture and how the first epochs show it, with the teacher's answer to that view." :
                "Each row: a training picture and how the first epochs show it.", view_rows(run))]);
    sections.push(["network", "Network", section("network", "Network", run.network, layer_table(run))]);
    sections.push(["settings", "Settings", section("settings", "Settings", null,
        element("div", {class: "grid three"}, run.settings.map(group => element("div", {class: "card stretch"}, element("h3", {}, group.title), pairs(group.rows)))),
        element("div", {class: "card command"}, element("h3", {}, "Command"), element("pre", {}, run.command)))]);
    return [
        element("header", {class: "wrap top"}, element("p", {class: "brand"}, "Bantam report"),
            element("div", {class: "title"}, element("h1", {}, run.name), state_of(run)),
            element("p", {class: "facts"}, `${run.network} · written ${run.written}`)),
        element("nav", {"aria-label": "Sections"}, element("ul", {class: "wrap"}, sections.map(([id, name]) => element("li", {}, element("a", {href: `#${id}`}, name))))),
        element("main", {class: "wrap"},
            element("section", {"aria-label": "Key figures"}, element("dl", {class: "tiles"},
                tile("Validation accuracy", percent(figures.accuracy, 2), known(figures.deviation) ? `± ${percent(figures.deviation)} on ${plural(figures.count, "picture")}` : ""),
                tile("Validation loss", fixed(4)(figures.loss), run.kept_epoch ? `epoch ${run.kept_epoch}, kept by ${rules[run.keep]}` : ""),
                tile("Agreement", percent(figures.agreement), run.has_teacher ? "with the teacher" : "no teacher"),
                tile("Calibration error", percent(figures.calibration), "expected, lower is better"),
                tile("Parameters", whole(run.parameters), run.parameter_limit ? `of at most ${whole(run.parameter_limit)}` : ""),
                tile("Time", duration(figures.seconds), known(figures.rate) ? `${whole(Math.round(figures.rate))} pictures/s` : ""))),
            sections.map(entry => entry[2])),
        element("footer", {class: "wrap"}, run.finished ? "Written at the end of the run." :
            "Written after every epoch: reload the page for the newest one. A run that was interrupted continues with --resume."),
    ];
}

// ------------------------------------------------------------------------------------------------ comparison

function comparison(runs) {
    document.title = `${runs.length} runs – Bantam comparison`;
    const figures = runs.map(key_figures);
    const measures = [
        ["Validation accuracy", figure => figure.accuracy, value => percent(value, 2), 1],
        ["Validation loss", figure => figure.loss, fixed(4), -1],
        ["Agreement with the teacher", figure => figure.agreement, percent, 1],
        ["Calibration error", figure => figure.calibration, percent, -1],
        ["Kept epoch", (_, run) => run.kept_epoch, whole, 0],
        ["Epochs", (_, run) => run.metrics.epoch.length, whole, 0],
        ["Parameters", (_, run) => run.parameters, whole, 0],
        ["Time", figure => figure.seconds, duration, 0],
        ["Pictures per second", figure => figure.rate, value => whole(known(value) ? Math.round(value) : null), 0],
    ].map(([name, value, format, better]) => {
        const values = figures.map((figure, index) => value(figure, runs[index]));
        const here = values.filter(known);
        const best = better === 0 || new Set(here).size < 2 ? null : better > 0 ? Math.max(...here) : Math.min(...here);
        return {name, cells: values.map(entry => [format(entry), best !== null && entry === best])};
    }).filter(row => row.cells.some(([text]) => text !== absent));
    const columns_of_runs = cell => runs.map((run, index) => ({name: run.name, text: row => cell(row, index)[0],
        cell: (row, text) => cell(row, index)[1] ? element("span", {class: "best-value"}, text) : text}));

    const curve = (id, title, key, format, limits) => line_chart({id, title, format, low_limit: 0, ...limits, empty: "No run has it.",
        series: runs.map((run, index) => ({name: run.name, epochs: run.metrics.epoch, values: run.metrics[key], color: series_color(index),
            dash: dashes[Math.floor(index / 8) % 3], best: run.kept_epoch, legend: true}))});

    const settings = new Map();
    runs.forEach((run, index) => run.settings.forEach(group => group.rows.forEach(([name, value]) => {
        const row = `${group.title}: ${name}`;
        if (!settings.has(row)) settings.set(row, Array(runs.length).fill(absent));
        settings.get(row)[index] = value;
    })));
    const differing = [...settings].filter(([, values]) => new Set(values).size > 1).map(([name, values]) => ({name, cells: values.map(value => [value, false])}));

    const same_classes = runs.every(run => run.validation && JSON.stringify(run.classes) === JSON.stringify(runs[0].classes));
    const recalls = !same_classes ? [] : runs[0].classes.map((name, label) => {
        const values = runs.map(run => class_rows(run.classes, run.validation.confusion)[label].recall);
        const best = Math.max(...values.map(value => known(value) ? value : -1));
        return {name, cells: values.map(value => [percent(value), runs.length > 1 && value === best && values.some(other => other !== best)])};
    });
    const sheet = (title, rows, first) => element("div", {class: "card"}, table(title, [{name: first, text: row => row.name}, ...columns_of_runs((row, index) => row.cells[index])], rows));

    const sections = [
        ["figures", "Figures", section("figures", "Figures", "Of the kept epoch of each run. The best value of a row is marked.", sheet("Figures", measures, "Figure"))],
        ["curves", "Curves", section("curves", "Curves", "Of the validation pictures. A ring marks the kept epoch.", element("div", {class: "grid"},
            curve("curve-loss", "Validation loss", "validation_loss", four_digits),
            curve("curve-accuracy", "Validation accuracy", "validation_accuracy", short_percent, {high_limit: 1, span: 0.1}),
            curve("curve-agreement", "Agreement with the teacher", "validation_teacher_agreement", short_percent, {high_limit: 1, span: 0.1}),
            curve("curve-learning-rate", "Learning rate", "learning_rate", four_digits)))],
    ];
    if (recalls.length) sections.push(["classes", "Classes", section("classes", "Recall per class", null, sheet("Recall per class", recalls, "Class"))]);
    sections.push(["settings", "Settings", section("settings", "Settings that differ", differing.length ? null : "All settings are the same.",
        differing.length ? sheet("Settings that differ", differing, "Setting") : null)]);
    return [
        element("header", {class: "wrap top"}, element("p", {class: "brand"}, "Bantam comparison"),
            element("div", {class: "title"}, element("h1", {}, plural(runs.length, "run"))), element("p", {class: "facts"}, runs.map(run => run.name).join(" · "))),
        element("nav", {"aria-label": "Sections"}, element("ul", {class: "wrap"}, sections.map(([id, name]) => element("li", {}, element("a", {href: `#${id}`}, name))))),
        element("main", {class: "wrap"}, sections.map(entry => entry[2])),
        element("footer", {class: "wrap"}, ""),
    ];
}

// ---------------------------------------------------------------------------------------------------- start

const page = document.getElementById("report");
try {
    const data = JSON.parse(document.getElementById("data").textContent);
    page.replaceChildren(...(data.runs ? comparison(data.runs) : report(data)));
    for (const draw of first_draws) draw();
    document.documentElement.dataset.drawn = "yes";
} catch (problem) {
    page.replaceChildren(element("p", {class: "message", role: "alert"}, `This report cannot be shown: ${problem.message}`));
    throw problem;
}
