/**
 * `npm run plot`: draws bench/results.json as bench/results.svg. The colours are mid-tones, so that they are
 * readable on a light and on a dark page.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Source {
  readonly title: string;
  readonly unit: string;
  readonly date: string;
  readonly machine: string;
  readonly command: string;
}

/** One bar per series and row, from zero. */
interface BarChart extends Source {
  readonly kind: 'bars';
  readonly series: readonly string[];
  readonly rows: readonly { readonly name: string; readonly values: readonly number[] }[];
}

/** One bar per series and row, from the least to the most; a tick marks the value before a change. */
interface RangeChart extends Source {
  readonly kind: 'ranges';
  readonly series: readonly string[];
  readonly rows: readonly {
    readonly name: string;
    readonly values: readonly (readonly number[])[];
    readonly before: readonly number[];
  }[];
}

/** One line per row, with a value at each place of the axis. */
interface LineChart extends Source {
  readonly kind: 'lines';
  readonly axis: string;
  readonly at: readonly number[];
  /** The top of the scale. Default 100. */
  readonly top?: number;
  readonly rows: readonly { readonly name: string; readonly values: readonly number[] }[];
}

export interface Results {
  readonly charts: readonly (BarChart | RangeChart | LineChart)[];
}

const WIDTH = 820;
const LEFT = 190;
const RIGHT = 50;
const BAR = 12;
const GAP = 10;
const LINES_HEIGHT = 150;
const HEAD = 44;
const FOOT = 46;
const COLOURS = ['#2f81f7', '#d9822b'];
const TEXT = '#737b85';

export function plot({ charts }: Results): string {
  let top = 0;
  const parts: string[] = [];
  for (const chart of charts) {
    const height = heightOf(chart);
    parts.push(
      `<g transform="translate(0 ${top})">`,
      ...head(chart),
      ...body(chart),
      ...foot(chart, height),
      '</g>',
    );
    top += HEAD + height + FOOT;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}"`,
    `  font-family="system-ui, sans-serif" font-size="12" fill="${TEXT}">`,
    `<title>${escaped(charts.map(({ title }) => title).join('; '))}</title>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function heightOf(chart: Results['charts'][number]): number {
  if (chart.kind === 'lines') return LINES_HEIGHT;
  return chart.rows.length * (chart.series.length * BAR + GAP);
}

function head(chart: Results['charts'][number]): string[] {
  const names = chart.kind === 'lines' ? chart.rows.map(({ name }) => name) : chart.series;
  const keys = chart.kind === 'ranges' ? [...names, '| before'] : names;
  let x = LEFT;
  const legend = keys.flatMap((name, index) => {
    const at = x;
    x += 30 + name.length * 7;
    const colour = COLOURS[index];
    if (colour === undefined) return [label(at, 34, name)];
    return [`<rect x="${at}" y="25" width="10" height="10" fill="${colour}"/>`, label(at + 14, 34, name)];
  });
  return [
    `<text x="0" y="14" font-size="14" font-weight="600">${escaped(`${chart.title} (${chart.unit})`)}</text>`,
    ...legend,
  ];
}

function body(chart: Results['charts'][number]): string[] {
  if (chart.kind === 'lines') return lines(chart);
  const highest = Math.max(
    ...chart.rows.flatMap((row) => [...row.values.flat(), ...('before' in row ? row.before : [])]),
  );
  const scale = (value: number): number => round((value / highest) * (WIDTH - LEFT - RIGHT));
  return chart.rows.flatMap((row, index) => {
    const y = HEAD + index * (chart.series.length * BAR + GAP);
    const middle = y + (chart.series.length * BAR) / 2 + 4;
    return [
      label(LEFT - 8, middle, row.name, 'end'),
      ...row.values.flatMap((value, series) => {
        const [least, most] = typeof value === 'number' ? [0, value] : [value[0] ?? 0, value[1] ?? 0];
        const before = 'before' in row ? row.before[series] : undefined;
        const at = y + series * BAR;
        const text = least === 0 ? figure(most) : `${figure(least)}–${figure(most)}`;
        return [
          `<rect x="${LEFT + scale(least)}" y="${at + 1}" width="${Math.max(2, scale(most - least))}" height="${BAR - 2}" fill="${COLOURS[series]}"/>`,
          label(LEFT + scale(most) + 4, at + 10, text, 'start', 11),
          ...(before === undefined
            ? []
            : [
                `<rect x="${LEFT + scale(before)}" y="${at}" width="2" height="${BAR}" fill="${COLOURS[series]}" opacity="0.6"/>`,
                label(LEFT + scale(before) + 4, at + 10, figure(before), 'start', 11),
              ]),
        ];
      }),
    ];
  });
}

function lines({ at, axis, top = 100, rows }: LineChart): string[] {
  const last = at.at(-1) ?? 1;
  const x = (value: number): number => round(LEFT + (value / last) * (WIDTH - LEFT - RIGHT - 20));
  const y = (value: number): number => round(HEAD + LINES_HEIGHT - 20 - (value / top) * (LINES_HEIGHT - 30));
  return [
    ...[0, 0.25, 0.5, 0.75, 1]
      .map((share) => share * top)
      .flatMap((value) => [
        `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}" stroke="${TEXT}" stroke-opacity="0.25"/>`,
        label(LEFT - 8, y(value) + 4, String(value), 'end'),
      ]),
    ...at.map((value) => label(x(value), HEAD + LINES_HEIGHT - 4, String(value), 'middle')),
    label(LEFT - 8, HEAD + LINES_HEIGHT - 4, axis, 'end'),
    ...rows.flatMap(({ values }, index) => {
      const points = values.map((value, place) => ({ value, x: x(at[place] ?? 0), y: y(value) }));
      // The first row's values are printed below its line, those of the others above.
      const shift = index === 0 ? 16 : -7;
      return [
        `<polyline points="${points.map((point) => `${point.x},${point.y}`).join(' ')}" fill="none" stroke="${COLOURS[index]}" stroke-width="2"/>`,
        ...points.flatMap((point) => [
          `<circle cx="${point.x}" cy="${point.y}" r="3" fill="${COLOURS[index]}"/>`,
          label(point.x + 4, point.y + shift, figure(point.value), 'start', 11),
        ]),
      ];
    }),
  ];
}

const foot = ({ date, machine, command }: Source, height: number): string[] => [
  label(LEFT, HEAD + height + 12, `${date}: ${machine}`, 'start', 10),
  label(LEFT, HEAD + height + 25, command, 'start', 10),
];

function label(x: number, y: number, text: string, anchor = 'start', size = 12): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}">${escaped(text)}</text>`;
}

const figure = (value: number): string => (value < 100 ? value.toFixed(1) : String(value));

const round = (value: number): number => Math.round(value * 10) / 10;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const results = JSON.parse(readFileSync(new URL('results.json', import.meta.url), 'utf8')) as Results;
  writeFileSync(new URL('results.svg', import.meta.url), plot(results));
}
