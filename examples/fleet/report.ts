/** Tables for a person: columns that line up, folded where the terminal is narrow, in colour where it has any. */

import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export interface Column {
  readonly title: string;
  readonly width: number;
  readonly right?: true;
}
export interface Cell {
  readonly text: string;
  readonly style?: Style;
}

/** Where a report is written. */
export class Page {
  readonly #out: NodeJS.WriteStream;
  readonly #coloured: boolean;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#coloured = out.isTTY === true && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb';
  }

  line(text = '', style?: Style): void {
    this.#out.write(`${style === undefined ? text : this.#paint(text, style)}\n`);
  }

  /** One row; where the terminal is too narrow it goes on in a second line from column `fold`. */
  row(columns: readonly Column[], cells: readonly Cell[], fold: number): void {
    const parts = columns.map((column, i) => {
      const { text, style } = cells[i] ?? { text: '' };
      const padded = column.right ? text.padStart(column.width) : text.padEnd(column.width);
      return style === undefined ? padded : padded.replace(text, () => this.#paint(text, style));
    });
    const width = columns.reduce((sum, column) => sum + column.width + GAP.length, GAP.length);
    const lines = this.#out.isTTY && width > this.#out.columns ? [parts.slice(0, fold), parts.slice(fold)] : [parts];
    lines.forEach((line, i) => {
      this.line(`${i === 0 ? '' : '     '}${GAP}${line.join(GAP)}`.trimEnd());
    });
  }

  #paint(text: string, style: Style): string {
    return this.#coloured && text !== '' ? styleText(style, text) : text;
  }
}

const GAP = '  ';
