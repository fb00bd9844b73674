"use strict";
// Statistics of two sets of raw scores on the same datasets, as `datumrl compare` has them: every
// dataset weighs the same, however many runs it has.  Pure functions; the draws come from a seed.

// sfc32: returns a function that draws whole numbers below its argument.
function generator(seed) {
  let a = 0, b = 0, c = seed | 0, counter = 1;
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let step = 0; step < 15; step += 1) next(); // mixes the seed in
  return (below) => Math.floor((next() / 4294967296) * below);
}

// A sample: scores sorted over all tasks, and for run i of task t its place in that order.
function sampleOf(tasks) {
  const flat = tasks.flat(), size = flat.length;
  const runs = tasks.map((task) => task.length);
  const equal = runs.every((count) => count === runs[0]);
  const order = [...flat.keys()].sort((i, j) => flat[i] - flat[j] || i - j);
  const place = new Int32Array(size);
  order.forEach((run, rank) => { place[run] = rank; });
  const shares = tasks.flatMap((task) => task.map(() => 1 / (tasks.length * task.length)));
  const cut = Math.floor(size / 4);
  return {
    tasks, runs, size, place,
    sorted: Float64Array.from(order, (run) => flat[run]),
    share: Float64Array.from(order, (run) => shares[run]), // adds up to 1
    // What a run counts for in the IQM, and between which sums the middle half lies.
    weight: equal ? new Float64Array(size).fill(1) : Float64Array.from(order, (run) => shares[run]),
    low: equal ? cut : cut / size,
    high: equal ? size - cut : 1 - cut / size,
  };
}

const onceEach = (sample) => new Int32Array(sample.size).fill(1);

// How often each run is drawn when every task's runs are drawn with replacement.
function redraw(sample, below, counts) {
  counts.fill(0);
  let start = 0;
  for (const runs of sample.runs) {
    for (let run = 0; run < runs; run += 1) counts[sample.place[start + below(runs)]] += 1;
    start += runs;
  }
}

function iqm(sample, counts) {
  const { sorted, weight, low, high, size } = sample;
  let below = 0, total = 0, kept = 0;
  for (let rank = 0; rank < size; rank += 1) {
    if (!counts[rank]) continue;
    const above = below + counts[rank] * weight[rank];
    const within = Math.min(Math.max(above, low), high) - Math.min(Math.max(below, low), high);
    total += within * sorted[rank];
    kept += within;
    below = above;
  }
  return total / kept;
}

// The runs of both samples on each task in one order: what the probability of improvement needs.
function duelOf(x, y) {
  let first = 0, second = 0;
  return x.tasks.map((task, index) => {
    const both = [
      ...task.map((score, run) => ({ score, mine: true, place: x.place[first + run] })),
      ...y.tasks[index].map((score, run) => ({ score, mine: false, place: y.place[second + run] })),
    ].sort((one, other) => one.score - other.score);
    first += task.length;
    second += y.tasks[index].length;
    const pairs = task.length * y.tasks[index].length;
    return { both, pairs, last: both.map((run, at) => both[at + 1]?.score !== run.score) };
  });
}

// P(X > Y) + P(X = Y) / 2 on each task.
function chances(duel, xCounts, yCounts) {
  return duel.map(({ both, pairs, last }) => {
    let xBelow = 0, yBelow = 0, xTied = 0, yTied = 0, lead = 0;
    both.forEach((run, at) => {
      if (run.mine) xTied += xCounts[run.place];
      else yTied += yCounts[run.place];
      if (!last[at]) return;
      lead += xTied * yBelow - yTied * xBelow;
      xBelow += xTied;
      yBelow += yTied;
      xTied = yTied = 0;
    });
    return 0.5 + (0.5 * lead) / pairs;
  });
}

const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const deviation = (values) => Math.sqrt(average(values.map((value) => (value - average(values)) ** 2)));

// The share of runs above each level, tasks alike; levels ascend.
function profile(sample, counts, levels) {
  let rank = 0, below = 0;
  return levels.map((level) => {
    for (; rank < sample.size && sample.sorted[rank] <= level; rank += 1) below += counts[rank] * sample.share[rank];
    return Math.max(0, 1 - below);
  });
}

// The value below which a share of the values lies, between two of them where need be.
function quantile(sorted, share) {
  const at = share * (sorted.length - 1), low = Math.floor(at);
  const next = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + (at - low) * (next - sorted[low]);
}

function ends(values, confidence) {
  const sorted = Float64Array.from(values).sort();
  return [quantile(sorted, (1 - confidence) / 2), quantile(sorted, (1 + confidence) / 2)];
}

// Everything that the page shows of two methods: tasks are arrays of runs, the same tasks in both.
function compareTasks(xTasks, yTasks, levels, plan) {
  const x = sampleOf(xTasks), y = sampleOf(yTasks), duel = duelOf(x, y);
  const xAll = onceEach(x), yAll = onceEach(y), each = chances(duel, xAll, yAll);
  const found = {
    iqm: [iqm(x, xAll), iqm(y, yAll)],
    improvement: average(each), perTask: each,
    profiles: [profile(x, xAll, levels), profile(y, yAll, levels)],
  };
  found.difference = found.iqm[0] - found.iqm[1];
  if (Math.min(...x.runs, ...y.runs) < 2) return found; // one run shows no spread
  return { ...found, ...intervals(x, y, duel, levels, plan) };
}

function intervals(x, y, duel, levels, plan) {
  const below = generator(plan.seed), xCounts = onceEach(x), yCounts = onceEach(y);
  const differences = [], improvements = [], bands = [[], []];
  for (let draw = 0; draw < plan.resamples; draw += 1) {
    redraw(x, below, xCounts);
    redraw(y, below, yCounts);
    differences.push(iqm(x, xCounts) - iqm(y, yCounts));
    improvements.push(average(chances(duel, xCounts, yCounts)));
    if (draw < plan.band_resamples) {
      bands[0].push(profile(x, xCounts, levels));
      bands[1].push(profile(y, yCounts, levels));
    }
  }
  const band = (drawn) => levels.map((_, at) => ends(drawn.map((curve) => curve[at]), plan.confidence));
  return {
    differenceEnds: ends(differences, plan.confidence),
    improvementEnds: ends(improvements, plan.confidence),
    bands: bands.map(band),
  };
}
