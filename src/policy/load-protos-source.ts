/**
 * A look at the text of a .proto file before protobufjs reads it: what its parser misreads without a word is made
 * visible or refused here, and what it forgets (lines, `import public`) is kept.
 *
 * @module
 */

/** Stands in a string for an escape that the parser would misread. A noncharacter: it never stands in real text. */
export const MISREAD = '\uFDD0';

/** Begins each string literal in an option, so that `"x"` can be told from the bare word `x`. A noncharacter too. */
export const QUOTED = '\uFDD1';

/** What {@link readSource} found. */
export interface ProtoSource {
  /**
   * The text for the parser: comments blanked, strings marked with {@link QUOTED}, {@link MISREAD} in place of
   * escapes it cannot read. Lines are kept.
   */
  readonly text: string;
  /** Paths named in `import public`. */
  readonly publicImports: ReadonlySet<string>;
  /** What the parser would skip instead of refusing; `null` when there is nothing of the kind. */
  readonly skipped: { readonly line: number; readonly what: string } | null;
  /** The line of a service, or of a method of it; `null` when it is not found. */
  lineOf(service: string, method: string | null): number | null;
}

const TOKEN = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g;
const ESCAPE = /\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)/g;
const IMPORT_PUBLIC = /\bimport\s+public\s*(?:"([^"]*)"|'([^']*)')/g;
/** What stands before the strings that the parser itself has to understand. */
const PLAIN_STRING = /\b(?:import|import\s+(?:public|weak|option)|(?:syntax|edition)\s*=)$/;
/** Names the parser drops: `__proto__` anywhere, and in dotted option names also these. */
const DROPPED = /\b__proto__\b|\)\s*\.[\s\w.]*\b(?:constructor|prototype)\b/;

/** Reads the text of one file. Does *not* parse it. */
export function readSource(source: string): ProtoSource {
  const code = source.replace(TOKEN, blank);
  const text = source.replace(TOKEN, (token: string, offset: number) => {
    if (token.startsWith('/')) return blank(token);
    const mark = PLAIN_STRING.test(code.slice(0, offset).trimEnd().slice(-100)) ? '' : QUOTED;
    const content = token.slice(1).replaceAll(QUOTED, MISREAD).replace(ESCAPE, checkEscape);
    return token.slice(0, 1) + mark + content;
  });
  const publicImports = new Set<string>();
  for (const [, double, single] of text.matchAll(IMPORT_PUBLIC)) publicImports.add(double ?? single ?? '');
  return {
    text,
    publicImports,
    skipped: skippedIn(code),
    lineOf: (service, method) => lineOf(code, service, method),
  };
}

/** Where a string does not end on its line, the parser jumps to the next one that does, over everything between. */
function skippedIn(code: string): ProtoSource['skipped'] {
  const quote = /["']|\/\*/.exec(code);
  if (quote !== null) return { line: lineAt(code, quote.index), what: 'a string or comment that does not end' };
  const name = DROPPED.exec(code);
  return name === null ? null : { line: lineAt(code, name.index), what: 'a name that the parser drops' };
}

/**
 * The parser knows the single-letter escapes, and octal and hexadecimal ones as characters. Beyond ASCII those are bytes
 * of UTF-8, and `\u`, `\U` and all others lose their backslash or more.
 */
function checkEscape(sequence: string, what: string): string {
  if (/^[0-7]/.test(what)) return Number.parseInt(what, 8) < 0x80 ? sequence : MISREAD;
  if (/^[xX]./.test(what)) return Number.parseInt(what.slice(1), 16) < 0x80 ? sequence : MISREAD;
  return /^[abfnrtv?'"\\]$/.test(what) ? sequence : MISREAD;
}

/** The same shape without the words, so that offsets and lines stay. */
function blank(token: string): string {
  return token.replace(/[^\n]/g, ' ');
}

function lineOf(code: string, service: string, method: string | null): number | null {
  const start = new RegExp(`\\bservice\\s+${service}\\s*\\{`).exec(code);
  if (start === null) return null;
  if (method === null) return lineAt(code, start.index);
  const rpc = new RegExp(`\\brpc\\s+${method}\\s*\\(`, 'g');
  rpc.lastIndex = start.index;
  const found = rpc.exec(code);
  return found === null ? null : lineAt(code, found.index);
}

function lineAt(code: string, index: number): number {
  return code.slice(0, index).split('\n').length;
}
