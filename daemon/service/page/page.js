'use strict';
(() => {
// What the server says comes in as text and goes out as text (textContent): nothing of it becomes markup.
const KEPT = 300, SPAN_MS = 300000, SITES_MS = 10000;
const $ = (id) => document.getElementById(id);
const base = location.pathname.replace(/\/(page)?$/, '');
const SVG = 'http://www.w3.org/2000/svg';
let last = null, seen = 0, interval = 1000, generation = null, lost = 0, opened = 0, retry = 1000;
let points = [], docs = [], happened = [], hover = null, pointed = null;

function el(name, attributes, ...children) {
	const node = document.createElement(name);
	for (const key in attributes)
		if (key === 'class') node.className = attributes[key];
		else node.setAttribute(key, attributes[key]);
	node.append(...children);
	return node;
}
function svg(name, attributes, text) {
	const node = document.createElementNS(SVG, name);
	for (const key in attributes) node.setAttribute(key, attributes[key]);
	if (text !== undefined) node.textContent = text;
	return node;
}

// ---- numbers with units
const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const three = (n) => n === 0 ? '0' : n < 0.01 ? '<0.01' : n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : grouped.format(n);
function scaled(n, step, units) {
	let i = 0;
	while (n >= step && i < units.length - 1) { n /= step; i++; }
	return [i === 0 && Number.isInteger(n) ? grouped.format(n) : three(n), units[i]];
}
const asCount = (n) => n === null ? ['–', ''] : n < 100000 ? [grouped.format(n), ''] : scaled(n, 1000, ['', 'k', 'M', 'G', 'T']);
const asRate = (n) => n === null ? ['–', ''] : n < 100000 ? [n < 10 && n % 1 ? n.toFixed(1) : grouped.format(n), ''] : scaled(n, 1000, ['', 'k', 'M', 'G']);
const asTime = (us) => us === null ? ['–', ''] : scaled(us, 1000, us < 1e6 ? ['µs', 'ms'] : ['µs', 'ms', 's']);
const asBytes = (n) => n === null ? ['–', ''] : scaled(n, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
const asShare = (n) => n === null ? ['–', ''] : [n > 0 && n < 0.0995 ? (n * 100).toFixed(1) : grouped.format(n * 100), '%'];
const perSecond = (pair) => pair[0] === '–' ? pair : [pair[0], pair[1] + '/s'];
const joined = (pair) => pair[1] ? pair[0] + ' ' + pair[1] : pair[0];
const short = (pair) => joined([pair[0].includes('.') ? pair[0].replace(/\.?0+$/, '') : pair[0], pair[1]]);
function asAge(ms) {
	const s = Math.max(0, Math.floor(ms / 1000));
	return s < 60 ? s + ' s' : s < 3600 ? Math.floor(s / 60) + ' min' : s < 172800
		? Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min' : Math.floor(s / 86400) + ' days';
}
const pad = (n) => String(n).padStart(2, '0');
function clock(ms, seconds = true) {
	const at = new Date(ms);
	return pad(at.getHours()) + ':' + pad(at.getMinutes()) + (seconds ? ':' + pad(at.getSeconds()) : '');
}
function when(ms) {
	const at = new Date(ms);
	return at.toDateString() === new Date().toDateString() ? clock(ms)
		: at.getFullYear() + '-' + pad(at.getMonth() + 1) + '-' + pad(at.getDate()) + ' ' + clock(ms, false);
}

// ---- what follows from two documents
const more = (now, before) => Math.max(0, (now || 0) - (before || 0));
const differ = (now, before) => now.map((n, i) => more(n, before && before[i]));
const total = (list) => list.reduce((sum, n) => sum + n, 0);
const every = (object) => total(Object.values(object));
function quantile(bounds, counts, share) {
	const all = total(counts);
	let rank = share * all, low = 0;
	for (let i = 0; all > 0 && i < counts.length; i++) {
		if (counts[i] > 0 && rank <= counts[i])
			return low + ((bounds[i] || low * 1.4) - low) * rank / counts[i];
		rank -= counts[i];
		low = bounds[i] || low;
	}
	return null;
}
function addUp(lists) {
	return lists.length ? lists[0].map((unused, i) => total(lists.map((list) => list[i] || 0))) : [];
}
const LOST = /^(lost_|cut_|kernel_dropped$|file_shrank$|file_changed$)/;     // as drover_connections_lost_total
const lostOf = (counters) => Object.keys(counters).filter((name) => LOST.test(name) && counters[name] > 0);

function point(doc, before) {
	const s = before && (doc.now_ms - before.now_ms) / 1000;
	const slots = doc.slots.map((slot) => {
		const old = before && before.slots[slot.slot];
		const same = old && old.workers.length && slot.workers.length && old.workers.some((w) => slot.workers.some((v) => v.pid === w.pid));
		return { open: slot.counters.open || 0, state: stateOf(slot, slot.slot),
			busy: same && slot.turns.count > 0 ? Math.min(1, more(slot.turns.busy_ns, old.turns.busy_ns) / (s * 1e9)) : null,
			rate: same ? more(slot.counters.requests, old.counters.requests) / s : null,
			lag: differ(slot.turns.duration, same ? old.turns.duration : slot.turns.duration) };
	});
	const p = { t: doc.now_ms, slots, open: total(slots.map((slot) => slot.open)), broken: !before };
	if (!before)
		return Object.assign(p, { rate: null, sent: null, p50: null, p90: null, p99: null, lag50: null, lag99: null, busy: null });
	const latency = differ(doc.latency, before.latency), lag = addUp(slots.map((slot) => slot.lag));
	const busy = slots.filter((slot) => slot.busy !== null);
	return Object.assign(p, {
		rate: more(doc.counters.requests, before.counters.requests) / s,
		sent: more(doc.counters.bytes_sent, before.counters.bytes_sent) / s,
		p50: quantile(doc.bounds_us, latency, .5), p90: quantile(doc.bounds_us, latency, .9), p99: quantile(doc.bounds_us, latency, .99),
		lag50: quantile(doc.bounds_us, lag, .5), lag99: quantile(doc.bounds_us, lag, .99),
		busy: busy.length ? total(busy.map((slot) => slot.busy)) / busy.length : null });
}

// One that follows another service, a pause or a step of the clock is compared with nothing.
function follows(doc, before) {
	const ms = before ? doc.now_ms - before.now_ms : 0;
	return before !== null && doc.started_ms === before.started_ms && ms > 0 && ms < Math.max(3500, 3.5 * interval);
}
function take(doc) {
	const before = follows(doc, last) ? last : null;
	if (last !== null && doc.started_ms !== last.started_ms) {
		happened = [];
		docs = [];
	}
	if (before !== null) interval += (doc.now_ms - before.now_ms - interval) / 4;
	else docs = [];
	for (const event of doc.events)
		if (!happened.length || event.id > happened[happened.length - 1].id) happened.push(event);
	happened = happened.slice(-256);
	points.push(point(doc, before));
	points = points.slice(-KEPT);
	docs.push(doc);
	while (docs.length > 2 && doc.now_ms - docs[1].now_ms >= SITES_MS) docs.shift();
	last = doc;
	if (doc.generation !== generation) {
		generation = doc.generation;
		configuration();
	}
}

// ---- charts
const charts = [
	{ id: 'rate', title: 'Requests per second', of: 'rate', unit: asRate, area: true, lines: [['rate', 'requests/s', 's0']] },
	{ id: 'latency', title: 'Latency', note: 'to the last byte, log scale', unit: asTime, log: true,
		lines: [['p99', 'p99', 's0'], ['p90', 'p90', 's1'], ['p50', 'p50', 's2']] },
	{ id: 'open', title: 'Open connections', note: 'a band for each slot', unit: asCount, stack: true, lines: [['open', 'all', 's0']] },
	{ id: 'lag', title: 'Loop lag', note: 'how long a turn takes, log scale', unit: asTime, log: true,
		lines: [['lag99', 'p99', 's0'], ['lag50', 'p50', 's2']] },
];
function makeCharts() {
	for (const chart of charts) {
		const caption = el('figcaption', {}, chart.title);
		if (chart.note) caption.append(el('span', {}, chart.note));
		if (chart.lines.length > 1)
			for (const line of chart.lines) {
				const name = el('span', {}, el('i', { class: line[2] }), line[1]);
				caption.append(name);
			}
		chart.svg = svg('svg', { class: 'plot', role: 'img', tabindex: 0, id: 'chart-' + chart.id });
		chart.tip = el('div', { class: 'tip', hidden: '' });
		chart.figure = el('figure', {}, caption, chart.svg, chart.tip);
		chart.svg.addEventListener('pointermove', (event) => point_at(chart, event));
		chart.svg.addEventListener('pointerdown', (event) => point_at(chart, event));
		chart.svg.addEventListener('pointerleave', () => { hover = null; draw(); });
		chart.svg.addEventListener('blur', () => { hover = null; draw(); });
		chart.svg.addEventListener('keydown', (event) => step(chart, event));
		$('charts').append(chart.figure);
	}
}
function point_at(chart, event) {
	const box = chart.svg.getBoundingClientRect();
	const t = chart.from + (event.clientX - box.left - chart.left) / chart.wide * (chart.to - chart.from);
	hover = nearest(t);
	pointed = chart;
	draw();
}
function nearest(t) {
	let best = null;
	for (const p of points) if (best === null || Math.abs(p.t - t) < Math.abs(best - t)) best = p.t;
	return best;
}
function step(chart, event) {
	const by = { ArrowLeft: -1, ArrowRight: 1, Home: -KEPT, End: KEPT }[event.key];
	if (event.key === 'Escape') hover = null;
	else if (by === undefined) return;
	else {
		const at = hover === null ? points.length - 1 : points.findIndex((p) => p.t >= hover);
		hover = points[Math.max(0, Math.min(points.length - 1, at + by))].t;
		const p = points.find((one) => one.t === hover);
		pointed = chart;
		$('say').textContent = clock(p.t) + ': ' + chart.lines.map((line) => line[1] + ' ' + joined(chart.unit(p[line[0]]))).join(', ');
	}
	event.preventDefault();
	draw();
}
function niceSteps(most) {
	const raw = most / 3, unit = Math.pow(10, Math.floor(Math.log10(raw)));
	const size = [1, 2, 2.5, 5, 10].find((n) => n * unit >= raw) * unit, steps = [];
	for (let v = 0; v < most + size; v += size) steps.push(v);
	return steps;
}
function scaleOf(chart, values) {
	const most = Math.max(...values, 0);
	if (!chart.log) {
		const ticks = niceSteps(Math.max(most, chart.least || 4));
		return { ticks, y: (v) => v / ticks[ticks.length - 1] };
	}
	const least = values.length ? Math.min(...values) : 100;
	let low = Math.floor(Math.log10(Math.max(least, 1))), high = Math.ceil(Math.log10(Math.max(most, 1000)));
	if (high - low < 2) high = low + 2;
	const ticks = [];
	for (let e = low; e <= high; e += Math.ceil((high - low) / 4)) ticks.push(Math.pow(10, e));
	return { ticks, y: (v) => Math.max(0, (Math.log10(Math.max(v, 1)) - low) / (high - low)) };
}
function pathOf(list, x, y, key) {
	let d = '', up = true;
	for (const p of list) {
		const v = p[key];
		if (v === null || v === undefined || p.broken) { up = true; if (v === null || v === undefined) continue; }
		d += (up ? 'M' : 'L') + x(p.t).toFixed(1) + ' ' + y(v).toFixed(1);
		up = false;
	}
	return d;
}
// The pieces between gaps, each as a closed shape between two functions of a point.
function shapeOf(list, x, low, high) {
	const pieces = [];
	for (const p of list) {
		if (high(p) === null) { pieces.push([]); continue; }
		if (p.broken || !pieces.length) pieces.push([]);
		pieces[pieces.length - 1].push(p);
	}
	return pieces.filter((piece) => piece.length > 1).map((piece) =>
		'M' + piece.map((p) => x(p.t).toFixed(1) + ' ' + high(p).toFixed(1)).join('L') +
		'L' + piece.slice().reverse().map((p) => x(p.t).toFixed(1) + ' ' + low(p).toFixed(1)).join('L') + 'Z').join('');
}
function timeTicks(chart, put) {
	const span = chart.to - chart.from, size = [10, 15, 30, 60].find((s) => span / (s * 1000) <= chart.wide / 72) || 60;
	for (let t = Math.ceil(chart.from / (size * 1000)) * size * 1000; t <= chart.to; t += size * 1000)
		put(t, clock(t, size < 60));
}
function drawChart(chart) {
	const box = chart.svg.getBoundingClientRect(), w = Math.max(200, box.width), h = box.height || 190;
	const now = last.now_ms, left = 50, right = 52, top = 12, low = h - 22;
	Object.assign(chart, { left, wide: w - left - right, to: now, from: now - Math.max(60000, Math.min(SPAN_MS, now - points[0].t)) });
	const shown = points.filter((p) => p.t >= chart.from);
	const values = shown.flatMap((p) => chart.lines.map((line) => p[line[0]])).filter((v) => v !== null);
	const scale = scaleOf(chart, values), x = (t) => left + (t - chart.from) / (chart.to - chart.from) * chart.wide;
	const y = (v) => low - scale.y(v) * (low - top), parts = [];
	const put = (name, attributes, text) => { const node = svg(name, attributes, text); parts.push(node); return node; };
	chart.svg.setAttribute('viewBox', '0 0 ' + w + ' ' + h);
	for (const v of scale.ticks) {
		const at = Math.round(y(v)) + .5;
		put('line', { class: v === scale.ticks[0] ? 'axis' : 'grid', x1: left, x2: w - right, y1: at, y2: at });
		put('text', { x: left - 7, y: at + 4, 'text-anchor': 'end' }, short(chart.unit(v)));
	}
	timeTicks(chart, (t, text) => { if (x(t) > left + 12) put('text', { x: x(t), y: h - 6, 'text-anchor': 'middle' }, text); });
	for (const event of happened.slice().sort((a, b) => b.good - a.good)) {
		if (event.at_ms < chart.from || event.at_ms > chart.to) continue;
		const at = x(event.at_ms), bad = event.good ? '' : ' bad';
		put('line', { class: 'mark' + bad, x1: at, x2: at, y1: top - 4, y2: low });
		put('path', { class: 'flag' + bad, d: 'M' + (at - 3.5) + ' ' + (top - 9) + 'h7l-3.5 6z' });
	}
	if (chart.stack) bands(chart, shown, x, y, put);
	if (chart.area) put('path', { class: 'area', d: shapeOf(shown, x, () => low, (p) => p.rate === null ? null : y(p.rate)) });
	for (const line of chart.stack ? [] : chart.lines.slice().reverse())
		put('path', { class: line[2], d: pathOf(shown, x, y, line[0]) });
	ends(chart, shown, x, y, put, w - right);
	if (!values.length) put('text', { class: 'nil', x: left + chart.wide / 2, y: (top + low) / 2, 'text-anchor': 'middle' }, 'nothing measured yet');
	if (hover !== null) cross(chart, shown, x, y, put, top, low);
	else chart.tip.hidden = true;
	chart.svg.replaceChildren(...parts);
	const p = shown[shown.length - 1];
	chart.svg.setAttribute('aria-label', chart.title + ', the last ' + asAge(chart.to - chart.from) + '; now ' +
		chart.lines.map((line) => line[1] + ' ' + joined(chart.unit(p[line[0]]))).join(', ') + '. Arrow keys read earlier values.');
}
function bands(chart, shown, x, y, put) {
	const slots = Math.max(0, ...shown.map((p) => p.slots.length));
	const below = (p, n) => total(p.slots.slice(0, n).map((slot) => slot.open));
	for (let i = 0; i < slots; i++)
		put('path', { class: 'band', 'fill-opacity': (.85 - .55 * (i / Math.max(1, slots - 1) || 0)).toFixed(2),
			d: shapeOf(shown, x, (p) => y(below(p, i)), (p) => y(below(p, i + 1))) });
}
// The newest values at the right end, not on top of each other.
function ends(chart, shown, x, y, put, right) {
	const p = shown[shown.length - 1];
	let taken = -99;
	const labels = chart.lines.filter((line) => p[line[0]] !== null).map((line) => ({ at: y(p[line[0]]), line })).sort((a, b) => a.at - b.at);
	for (const label of labels) {
		taken = Math.max(label.at, taken + 12);
		put('text', { x: right + 5, y: taken + 4 }, joined(chart.unit(p[label.line[0]])));
	}
}
function cross(chart, shown, x, y, put, top, low) {
	const p = shown.find((one) => one.t >= hover);
	chart.tip.hidden = !p || chart !== pointed;
	if (!p) return;
	put('line', { class: 'cross', x1: x(p.t), x2: x(p.t), y1: top, y2: low });
	const rows = [el('b', {}, clock(p.t))];
	for (const line of chart.lines) {
		if (p[line[0]] !== null) put('circle', { class: 'dot ' + line[2], cx: x(p.t), cy: y(p[line[0]]), r: 3.5 });
		rows.push(el('span', {}, line[1], el('em', {}, joined(chart.unit(p[line[0]])))));
	}
	if (chart.stack)
		p.slots.slice(0, 8).forEach((slot, i) => rows.push(el('span', {}, 'slot ' + i, el('em', {}, joined(asCount(slot.open))))));
	for (const event of happened)
		if (Math.abs(event.at_ms - p.t) <= interval)
			rows.push(el('span', { class: event.good ? '' : 'bad' }, event.kind + (event.slot === null ? '' : ', slot ' + event.slot)));
	chart.tip.replaceChildren(...rows);
	const box = chart.svg.getBoundingClientRect(), room = chart.tip.offsetWidth;
	chart.tip.style.left = Math.max(4, x(p.t) > box.width / 2 ? x(p.t) - room - 4 : x(p.t) + 28) + 'px';
}

// ---- the rest of the page
function tile(name, pair, small, mark) {
	return el('div', { class: mark || '' }, el('dt', {}, name),
		el('dd', { class: 'v' }, pair[0], pair[1] ? el('small', {}, pair[1]) : ''), el('dd', { class: 's' }, small));
}
function tiles() {
	const p = points[points.length - 1], all = last.percentiles_us || {}, reasons = lostOf(last.counters), lostNow = total(reasons.map((name) => last.counters[name]));
	$('tiles').replaceChildren(
		tile('Requests', perSecond(asRate(p.rate)), joined(asCount(last.counters.requests)) + ' in all'),
		tile('Latency, p50', asTime(p.p50), joined(asTime(all.p50 || null)) + ' since the start'),
		tile('Latency, p99', asTime(p.p99), joined(asTime(all.p99 || null)) + ' since the start'),
		tile('Open connections', asCount(p.open), p.sent === null ? '' : joined(perSecond(asBytes(p.sent))) + ' sent'),
		tile('CPU busy', asShare(p.busy), 'of ' + last.slots.length + (last.slots.length === 1 ? ' worker' : ' workers')),
		tile('Lost connections', asCount(lostNow), reasons.map((name) => name.replace('lost_', '').replaceAll('_', ' ')).join(', ') || 'none since the start', lostNow ? 'bad' : 'good'));
	document.title = joined(perSecond(asRate(p.rate))) + ' – drover';
}
function about() {
	const accept = last.accept || {}, parts = ['drover ' + last.version, 'up ' + asAge(last.now_ms - last.started_ms), 'generation ' + last.generation];
	$('about').textContent = parts.join(' · ') + (last.stopping ? ' · stopping' : '');
	const reload = last.reload, upgrade = last.upgrade, rows = [];
	const outcome = (o) => (o.good ? '' : 'failed: ') + o.text + (o.at_ms ? ' (' + when(o.at_ms) + ')' : '');
	rows.push(['Process', 'pid ' + last.pid + '; this page by slot ' + last.slot]);
	rows.push(['Connections are given out', accept.effective === accept.wanted ? accept.effective : accept.effective + ', wanted: ' + accept.wanted]);
	if (reload && reload.at_ms) rows.push(['Last reload, of ' + (reload.succeeded + reload.failed), outcome(reload), !reload.good]);
	if (upgrade && upgrade.at_ms) rows.push(['Last upgrade, of ' + (upgrade.succeeded + upgrade.failed), outcome(upgrade), !upgrade.good]);
	$('facts').replaceChildren(...rows.flatMap((row) => [el('dt', {}, row[0]), el('dd', { class: row[2] ? 'bad-text' : '' }, row[1])]));
	const p = points[0];
	$('window').textContent = points.length < 2 ? '' : 'since ' + clock(Math.max(p.t, last.now_ms - SPAN_MS)) + ', every ' + Number((interval / 1000).toFixed(1)) + ' s';
}
const DEATHS = ['workers_crashed', 'workers_killed', 'workers_exited', 'workers_hung'];
const STATES = { serving: 'serving', bad: 'does not get on', none: 'nobody', held: 'out of service' };
// What the operator has taken out of service is not bad: the events say so, the seats do not.
function stateOf(slot, index) {
	const said = happened.filter((event) => event.kind === 'drain' && event.slot === index).pop();
	return slot.state !== 'serving' && said && said.text.endsWith('drained') ? 'held' : slot.state;
}
let shades = null;
function paint(canvas, index) {
	const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect(), ink = canvas.getContext('2d');
	if (!shades) {
		const css = getComputedStyle(document.documentElement), of = (name) => css.getPropertyValue(name).trim();
		shades = { idle: of('--wash'), busy: of('--green'), bad: of('--lead'), none: of('--none') };
	}
	canvas.width = Math.max(1, Math.round(box.width * ratio));
	canvas.height = Math.max(1, Math.round(box.height * ratio));
	const from = charts[0].from, to = charts[0].to, wide = canvas.width, high = canvas.height;
	const at = (t) => (t - from) / (to - from) * wide;
	points.forEach((p, i) => {
		const slot = p.slots[index], next = points[i + 1];
		if (p.t < from || !slot) return;
		const begin = p.broken ? at(p.t) : i > 0 ? at(points[i - 1].t) : at(p.t), width = Math.max(1, at(p.t) - begin + .6);
		const level = slot.state === 'serving' ? slot.busy : 0;
		ink.globalAlpha = 1;
		ink.fillStyle = slot.state === 'bad' ? shades.bad : slot.state === 'serving' ? shades.idle : shades.none;
		ink.fillRect(begin, 0, width, high);
		if (!level) return;
		ink.fillStyle = shades.busy;
		ink.globalAlpha = .35 + .65 * level;
		ink.fillRect(begin, high - Math.max(2, high * level), width, high);
	});
}
function slots() {
	const list = $('slots'), p = points[points.length - 1];
	while (list.children.length > last.slots.length) list.lastChild.remove();
	last.slots.forEach((slot, i) => {
		let row = list.children[i];
		if (!row) {
			row = el('li', {}, el('b', {}, 'Slot ' + slot.slot), el('span', { class: 'state' }), el('div', { class: 'lane' }, el('canvas', { 'aria-hidden': 'true' })),
				el('span', { class: 'n busy' }), el('span', { class: 'n open' }), el('small', { class: 'n who' }));
			list.append(row);
		}
		const [, state, lane, busy, open, who] = row.children, extra = slot.workers.length - 1, now = p.slots[i];
		state.textContent = (STATES[now.state] || now.state) + (extra > 0 ? ' +' + extra : '');
		state.title = extra > 0 ? extra + ' of before finish what they have' : '';
		state.className = 'state ' + (now.state === 'serving' ? '' : now.state === 'bad' ? 'bad' : 'none');
		busy.textContent = now.busy === null ? '–' : joined(asShare(now.busy)) + ' busy';
		open.textContent = joined(asCount(now.open)) + ' open';
		open.title = Object.entries(slot.connections || {}).filter((one) => one[1]).map((one) => one[1] + ' ' + one[0]).join(', ');
		const died = DEATHS.reduce((sum, name) => sum + (slot.counters[name] || 0), 0);
		who.textContent = (slot.workers.length ? 'pid ' + slot.workers.map((w) => w.pid).join(', ').slice(0, died ? 8 : 18) : '') +
			(died ? ' \u00b7 ' + died + ' died' : '');
		paint(lane.firstChild, i);
	});
}
const cell = (pair, mark) => el('td', { class: 'n' + (mark ? ' ' + mark : '') }, joined(pair));
function sites() {
	const before = docs[0], s = (last.now_ms - before.now_ms) / 1000, rows = [];
	const old = new Map(before.sites.map((site) => [site.name, site]));
	for (const site of last.sites) {
		const was = old.get(site.name), all = every(site.requests);
		if (site.name === '(other)' && all === 0) continue;
		const came = was && s > 0 ? more(all, every(was.requests)) : null, latency = was ? differ(site.latency, was.latency) : site.latency.map(() => 0);
		const share = (name) => came ? more(site.requests[name], was.requests[name]) / came : came === 0 ? 0 : null;
		const e4 = share('4xx'), e5 = share('5xx');
		rows.push([site.name === '(other)' ? -1 : all, el('tr', {}, el('th', { scope: 'row' }, site.name), cell(asRate(came === null ? null : came / s)),
			cell(asShare(e4), e4 ? '' : 'nil'), cell(asShare(e5), e5 ? 'hot' : 'nil'), cell(asTime(quantile(last.bounds_us, latency, .5))),
			cell(asTime(quantile(last.bounds_us, latency, .99))), cell(perSecond(asBytes(was && s > 0 ? more(site.bytes, was.bytes) / s : null))),
			cell(asCount(all)))]);
	}
	rows.sort((a, b) => b[0] - a[0]);
	$('sites').tBodies[0].replaceChildren(...rows.map((row) => row[1]));
}
const KINDS = { start: 'Start', reload: 'Reload', upgrade: 'Upgrade', crash: 'Crash', hang: 'Hang', recovered: 'Recovered', respawn: 'New worker',
	drain: 'Drain', setting: 'Setting', stop: 'Stop' };
const PROBLEMS = ['crash', 'hang'];
let listed = -1;
function events() {
	const newest = happened.length ? happened[happened.length - 1].id : 0;
	if (newest === listed) return;
	listed = newest;
	$('calm').hidden = happened.length > 0;
	$('events').replaceChildren(...happened.slice(-100).reverse().map((event) => el('li', { class: event.good ? '' : 'bad' },
		el('time', { datetime: new Date(event.at_ms).toISOString() }, when(event.at_ms)),
		el('b', {}, (KINDS[event.kind] || event.kind) + (event.good || PROBLEMS.includes(event.kind) ? '' : ' failed') +
			(event.slot === null ? '' : ', slot ' + event.slot)),
		el('span', {}, event.text))));
}
function listeners() {
	$('listen').tBodies[0].replaceChildren(...last.listeners.map((one) => el('tr', {}, el('th', { scope: 'row' }, one.address),
		cell(asCount(one.waiting)), cell(asCount(one.dropped), one.dropped ? 'hot' : 'nil'))));
}
function numbers() {
	if (!$('numbers').open) return;
	const table = $('numbers').querySelector('table'), columns = [['Time', (p) => clock(p.t)]];
	for (const chart of charts)
		for (const line of chart.lines)
			columns.push([chart.title + (chart.lines.length > 1 ? ', ' + line[1] : ''), (p) => joined(chart.unit(p[line[0]]))]);
	table.tHead.replaceChildren(el('tr', {}, ...columns.map((column, i) => el('th', { scope: 'col', class: i ? 'n' : '' }, column[0]))));
	table.tBodies[0].replaceChildren(...points.slice(-60).reverse().map((p) => el('tr', {}, ...columns.map((column, i) =>
		el(i ? 'td' : 'th', i ? { class: 'n' } : { scope: 'row' }, column[1](p))))));
}
function draw() {
	if (last === null || document.hidden) return;
	charts.forEach(drawChart);
	slots();
}
function show() {
	if (document.hidden) return;
	tiles();
	about();
	draw();
	sites();
	events();
	listeners();
	numbers();
}

// ---- the configuration
let settings = [];
function find() {
	const words = $('q').value.toLowerCase().split(/\s+/).filter((word) => word), given = $('given').checked;
	const found = settings.filter((s) => (!given || s.given) && words.every((word) => s.text.includes(word)));
	$('settings').tBodies[0].replaceChildren(...found.map((s) => el('tr', { class: s.given ? 'given' : '' }, el('th', { scope: 'row' }, s.name),
		el('td', {}, s.value === null ? '–' : String(s.value)), el('td', {}, s.origin || (s.given ? '' : 'default')))));
	$('found').textContent = found.length + ' of ' + settings.length;
}
function flatten(doc) {
	const list = doc.settings.map((s) => ({ ...s, given: s.origin !== null || s.name.startsWith('listen ') }));
	for (const site of doc.sites || [])
		for (const setting of site.settings || []) list.push({ name: site.name + ': ' + setting.name, value: setting.value, origin: setting.origin, given: true });
	return list.map((s) => ({ ...s, text: (s.name + ' ' + s.value + ' ' + (s.origin || 'default')).toLowerCase() }));
}
async function configuration() {
	try {
		const answer = await fetch(base + '/config', { headers: { Accept: 'application/json' } });
		if (!answer.ok) return;
		const doc = await answer.json();
		settings = flatten(doc);
		$('config-of').textContent = 'of generation ' + doc.generation;
		$('config').hidden = false;
		find();
	} catch (error) {
		generation = null;      // it is asked for again with the next document
	}
}

// ---- the stream
function state() {
	const link = $('link'), quiet = Date.now() - Math.max(seen, opened), off = lost !== 0 || quiet > Math.max(5000, 4 * interval);
	if (off && lost === 0) lost = seen || opened;
	link.hidden = false;
	link.className = 'link ' + (off ? 'off' : last ? 'on' : '');
	const text = off ? (seen ? 'disconnected since ' + clock(lost) : 'not connected') : last ? 'live' : 'connecting';
	if (link.textContent !== text) link.textContent = text;
	document.body.classList.toggle('off-line', off && last !== null);
	if (off) document.title = 'disconnected – drover';
}
function connect() {
	const source = new EventSource(base + '/events');
	opened = Date.now();
	source.addEventListener('status', (event) => {
		seen = Date.now();
		lost = 0;
		retry = 1000;
		take(JSON.parse(event.data));
		show();
		state();
	});
	source.addEventListener('error', () => {
		if (lost === 0) lost = seen || Date.now();
		state();
		source.close();         // our own pace: a browser gives up after an answer that is no stream
		setTimeout(connect, retry);
		retry = Math.min(retry * 1.6, 10000);
	});
}
function begin() {
	$('app').hidden = false;
	$('host').textContent = location.host;
	for (const name of ['json', 'metrics', 'events']) $('to-' + name).href = base + '/' + name;
	makeCharts();
	$('q').addEventListener('input', find);
	$('given').addEventListener('change', find);
	$('find').addEventListener('submit', (event) => event.preventDefault());
	$('numbers').addEventListener('toggle', numbers);
	document.addEventListener('visibilitychange', () => { if (last !== null) show(); });
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { shades = null; draw(); });
	new ResizeObserver(draw).observe($('charts'));
	setInterval(state, 1000);
	state();
	connect();
}
begin();
})();
