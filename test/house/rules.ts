/** What may not stand in a text file of the checkout. Each rule returns its findings, so that it can be tried on planted text. */

import type { TextFile } from './tree.js';

const LONGEST_FILE = 400;

/** Joins the halves of a word that must not stand in this file either. */
const word = (...halves: string[]): string => halves.join('');

/** Matches of `pattern` as `path:line: matched text`. */
function matches(file: TextFile, pattern: RegExp): string[] {
  const found: string[] = [];
  file.text.split('\n').forEach((line, index) => {
    const match = pattern.exec(line);
    if (match) found.push(`${file.path}:${index + 1}: ${match[0].trim()}`);
  });
  return found;
}

const isCode = (path: string): boolean =>
  /^(src|test|examples|bench|scripts)\/.*\.[cm]?[jt]s$/.test(path) && !path.includes('/gen/');

/** Source files longer than 400 lines; generated code is not counted. */
export function tooLong(file: TextFile): string[] {
  const lines = file.text.split('\n').length - 1;
  return isCode(file.path) && lines > LONGEST_FILE ? [`${file.path}: ${lines} lines`] : [];
}

/** Notes to oneself. */
export function leftovers(file: TextFile): string[] {
  if (file.path === 'package-lock.json') return [];
  return matches(file, new RegExp(`\\b(${word('TO', 'DO')}|${word('FIX', 'ME')}|${word('X', 'XX')})\\b`));
}

/** Tests that are switched off, or that switch the others off. A test may still call `this.skip()` and say why. */
export function switchedOff(file: TextFile): string[] {
  if (!/^test\/.*\.ts$/.test(file.path)) return [];
  return matches(file, /\b(describe|context|it|specify|suite|test)\s*\.(only|skip)\s*\(|\bx(describe|context|it)\(/);
}

/** Paths of somebody's machine. */
export function machinePaths(file: TextFile): string[] {
  const owned = ['home', 'Users', 'root', 'work', 'farm'].join('|');
  return matches(file, new RegExp(`(^|[\\s'"\`(=:])/(${owned})/\\w|/tmp/(wt|bash_)|\\b[A-Z]:\\\\Users\\\\`));
}

/** Words that belong to the tools of a workplace, not to the project. */
export function workplaceWords(file: TextFile): string[] {
  const words = [
    word('clau', 'de'),
    word('anth', 'ropic'),
    word('chat', 'gpt'),
    word('open', 'ai'),
    word('co', 'pilot'),
    word('sub', 'agent'),
    word('work', 'tree'),
    word('co-auth', 'ored-by'),
    word('as an ', 'ai\\b'),
  ];
  const found = matches(file, new RegExp(`\\b(${words.join('|')})`, 'i'));
  const registries = new RegExp(
    `\\bregistry\\.[a-z0-9-]+\\.(com|org|net|io|dev|example)\\b|\\b${word('npm', 'js')}\\.(org|com)/|\\b${word('artif', 'actory')}`,
    'i',
  );
  return [
    ...found,
    ...matches(file, registries),
    ...matches(file, new RegExp(`(^|[^\\w.-])/?${word('sha', 'red')}/\\w`)),
  ];
}

/** Private keys, in PEM or as a JWK. Tests make theirs at run time. */
export function privateKeys(file: TextFile): string[] {
  const pem = /-----BEGIN [A-Z ]*PRIVATE KEY-----(\\n|\s)*[A-Za-z0-9+/]{40}/;
  const jwk = /["']?\bd["']?\s*:\s*["'][A-Za-z0-9_-]{40,}["']/;
  const named = /\.(key|p12|pfx|jks)$/.test(file.path) ? [`${file.path}: a key file`] : [];
  const found = pem.test(file.text) ? [`${file.path}: a private key in PEM`] : [];
  return [...named, ...found, ...matches(file, jwk).map((hit) => hit.replace(/: .*/, ': a private JWK'))];
}

/** Download addresses in the lock file. */
export function lockAddresses(file: TextFile): string[] {
  return file.path === 'package-lock.json' ? matches(file, /"resolved"|\.tgz"/) : [];
}
