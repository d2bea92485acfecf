/**
 * Reads the files of an identity, once, and judges them as one set.
 *
 * @module
 */

import { createHash, type Hash } from 'node:crypto';
import type { SpiffeId } from '../call.js';
import { ConfigurationError, type Problem } from '../errors.js';
import { FileReadError, readContent } from '../watched-file.js';
import { identityProblems, parseBundles, parseSvid } from './material.js';
import type { X509Material } from './source.js';
import { quoted } from './spiffe-id.js';

/** Where an identity lies. */
export interface IdentityPaths {
  readonly certificate: string;
  readonly privateKey: string;
  /** By trust domain. */
  readonly bundles: Readonly<Record<string, string>>;
}

/** One reading of all files. */
export interface Reading {
  /** Equal for two readings exactly when they found the same. */
  readonly digest: string;
  /** `null` when there are problems. */
  readonly material: X509Material | null;
  /** Places are named by option and path. */
  readonly problems: readonly Problem[];
  /** What is unwise but no reason to refuse. */
  readonly warnings: readonly Problem[];
  /** A file could not be read at all. */
  readonly unreadable: boolean;
}

const UNFORESEEN: Problem = {
  place: 'certificate',
  problem: 'the set could not be examined',
  remedy: 'Issue certificate and key anew',
};
const MAX_FILE_BYTES = 262_144;
const READABLE_OR_WRITABLE_BY_OTHERS = 0o006;

/**
 * Reads the set and checks all of it at `now`: the leaf is an X509-SVID, the key belongs to it, the bundles hold
 * authorities only, the chain verifies under the bundle of its own trust domain and is valid, and its SPIFFE ID is
 * `expected` where one is. Never rejects, and puts nothing that was read into a problem but names and fingerprints.
 *
 * The files are not read at one instant: what was found together only by chance is for the caller to rule out, by
 * reading twice.
 */
export async function readIdentity(paths: IdentityPaths, expected: SpiffeId | null, now: number): Promise<Reading> {
  const places = [...pathsByPlace(paths)];
  const found = await Promise.all(places.map(([place, path]) => readText(place, path)));
  const problems = found.flatMap((file) => file.problem ?? []);
  const warnings = found.flatMap((file) => file.warning ?? []);
  const hash = createHash('sha256');
  for (const file of found) addPart(hash, Buffer.from(file.text ?? `! ${file.problem?.problem}`));
  const unreadable = problems.length > 0;
  const [certificate = '', privateKey = '', ...bundleTexts] = found.map((file) => file.text ?? '');
  const texts = Object.fromEntries(Object.keys(paths.bundles).map((name, index) => [name, bundleTexts[index] ?? '']));

  const judge = <T>(parse: () => T): T | null => {
    try {
      return parse();
    } catch (error) {
      // Whatever a file can bring about must not end the process that watches it.
      const wrong = error instanceof ConfigurationError ? error.problems : [UNFORESEEN];
      problems.push(...wrong.map((problem) => placed(problem, paths)));
      return null;
    }
  };
  const svid = unreadable ? null : judge(() => parseSvid(certificate, privateKey));
  const bundles = unreadable ? null : judge(() => parseBundles(texts));
  if (svid !== null && bundles !== null) {
    const wrong = judge(() => identityProblems(svid, bundles, now)) ?? [];
    problems.push(...wrong.map((problem) => placed(problem, paths)));
    if (expected !== null && svid.spiffeId !== expected) {
      problems.push({
        place: at('certificate', paths.certificate),
        problem: `it is for ${svid.spiffeId}, and this workload is ${expected}`,
        remedy: 'Put the certificate of this workload there; to change the identity, start anew',
      });
    }
  }
  const usable = svid !== null && bundles !== null && problems.length === 0;
  return {
    digest: hash.digest('base64url'),
    material: usable ? { svid, bundles } : null,
    problems: Object.freeze(problems),
    warnings: Object.freeze(warnings),
    unreadable,
  };
}

interface FileText {
  readonly text: string | null;
  readonly problem?: Problem;
  readonly warning?: Problem | undefined;
}

async function readText(place: string, path: string): Promise<FileText> {
  try {
    const { bytes, mode } = await readContent(path, MAX_FILE_BYTES);
    const warning = place === 'privateKey' ? permissionWarning(path, mode) : undefined;
    return { text: Buffer.from(bytes).toString('utf8'), warning };
  } catch (error) {
    const problem = error instanceof FileReadError ? error.message : 'it cannot be read';
    const remedy = 'Write it there, and let this process read it';
    return { text: null, problem: { place: at(place, path), problem, remedy } };
  }
}

/** The same for two sets that say the same, however their files are laid out. */
export function digestOfMaterial({ svid, bundles }: X509Material): string {
  const hash = createHash('sha256');
  for (const certificate of svid.chain) addPart(hash, certificate);
  for (const [trustDomain, authorities] of bundles) {
    addPart(hash, Buffer.from(trustDomain));
    for (const authority of authorities) addPart(hash, authority);
  }
  return hash.digest('base64url');
}

/** With its length in front, so that what moves from one file to the next shows. */
function addPart(hash: Hash, bytes: Uint8Array): void {
  hash.update(`${bytes.length}:`).update(bytes);
}

function permissionWarning(path: string, mode: number): Problem | undefined {
  if (process.platform === 'win32' || (mode & READABLE_OR_WRITABLE_BY_OTHERS) === 0) return undefined;
  const problem = `every user of this machine can read or write it (mode 0${mode.toString(8)})`;
  return { place: at('privateKey', path), problem, remedy: 'Give it mode 0600, or 0640 with a group of its own' };
}

/** The parsers know a problem by its option; here the file is known too. */
function placed(problem: Problem, paths: IdentityPaths): Problem {
  const path = pathsByPlace(paths).get(problem.place);
  return path === undefined ? problem : { ...problem, place: at(problem.place, path) };
}

/** Every path under the option that names it. */
export function pathsByPlace({ certificate, privateKey, bundles }: IdentityPaths): ReadonlyMap<string, string> {
  const places = new Map([
    ['certificate', certificate],
    ['privateKey', privateKey],
  ]);
  for (const [trustDomain, path] of Object.entries(bundles)) places.set(bundlePlace(trustDomain), path);
  return places;
}

function bundlePlace(trustDomain: string): string {
  return `bundles[${quoted(trustDomain)}]`;
}

function at(place: string, path: string): string {
  return `${place} (${path})`;
}
