/**
 * An identity kept in files that others replace: {@link fileIdentity}.
 *
 * @module
 */

import type { SpiffeId } from '../call.js';
import { type Clock, systemClock } from '../clock.js';
import { ConfigurationError, type Problem } from '../errors.js';
import { Listeners } from '../lifecycle.js';
import { type Watch, watchPaths } from '../watched-file.js';
import {
  digestOfMaterial,
  type IdentityPaths,
  pathsByPlace,
  type Reading,
  readIdentity,
} from './file-identity-reading.js';
import { PublishedIdentity, type X509Material } from './source.js';
import type { X509Source, X509SourceStatus } from './types.js';

/** Options of {@link fileIdentity}: paths, not texts. */
export interface FileIdentityOptions {
  /** Path of the certificate in PEM: leaf first, then intermediates. */
  readonly certificate: string;
  /** Path of the private key in PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted. May be the file of the certificate. */
  readonly privateKey: string;
  /** For each trust domain (`acme.example`) the path of its authorities in PEM. The own trust domain must be among them. */
  readonly bundles: Readonly<Record<string, string>>;
  /** The files are read again at least this often, whether or not a change was announced. Default 30. */
  readonly rereadSeconds?: number;
  /** Default: the clock of the machine. */
  readonly clock?: Clock;
}

/** An identity kept in files. */
export interface FileIdentity extends X509Source {
  /** Whether the files as they stand are in use, and if not, why and since when. */
  readonly status: X509SourceStatus;
  /** Called with the problems of a set of files that is not used, once for each new set of problems. */
  onProblem(listener: (problems: readonly Problem[]) => void): () => void;
}

/**
 * An {@link X509Source} over files, watched: it follows files that are written in place, renamed into place, or reached
 * through symbolic links that are swapped, as cert-manager, Kubernetes, Vault agent and step write them.
 *
 * All files are one set, and a new set is used only as a whole and only when two readings found it the same and it passes
 * every check of the first: the leaf is an X509-SVID (X509-SVID specification, sections 2 to 5), the key belongs to it,
 * the bundles hold authorities only, the chain leads to the bundle of its own trust domain and is valid now, the SPIFFE
 * ID is the one of the start. Until then the last good set stays, also past its expiry, for then every peer refuses it by
 * itself. A set caught half-written is read again for about three seconds before it counts as a problem.
 *
 * Resolves with the first good set. At the start a file that cannot be read fails at once, any other problem after the
 * same three seconds (of `clock`).
 *
 * Not checked: revocation; who wrote the files; whether the authority is one of the test kit (the guards do). A key file
 * that every user can read is a warning in {@link FileIdentity.status}, not an error.
 *
 * @throws ConfigurationError (as a rejection) that names option and file of every problem and never holds key material
 */
export async function fileIdentity(options: FileIdentityOptions): Promise<FileIdentity> {
  const { clock = systemClock, rereadSeconds = 30 } = options;
  const problems = optionProblems(options, rereadSeconds);
  if (problems.length > 0) throw new ConfigurationError('fileIdentity: the options are wrong', problems);
  const paths: IdentityPaths = {
    certificate: options.certificate,
    privateKey: options.privateKey,
    bundles: Object.freeze({ ...options.bundles }),
  };
  const first = await firstReading(paths, clock);
  if (first.material === null) {
    throw new ConfigurationError('fileIdentity: the identity cannot be used', first.problems);
  }
  return new FileIdentitySource(paths, { clock, rereadMs: rereadSeconds * 1000 }, first.material, first.warnings);
}

/** How long announcements are gathered before the files are read. */
const GATHER_MS = 20;
/** Between two readings that must be the same; then, while a set is no good, for how long it is given time. */
const WAITS_MS = [50, 100, 200, 400, 800, 1600];
/** A writer that does not come to rest is a problem too. */
const MOST_READINGS = 64;

const WELL: readonly Problem[] = Object.freeze([]);

/** What is good at once is used at once: the source reads again as soon as it watches. */
async function firstReading(paths: IdentityPaths, clock: Clock): Promise<Reading> {
  let reading = await readIdentity(paths, null, clock.now());
  for (const wait of WAITS_MS) {
    if (reading.material !== null || reading.unreadable) return reading;
    await clock.delay(wait);
    reading = await readIdentity(paths, null, clock.now());
  }
  return reading;
}

interface Settings {
  readonly clock: Clock;
  readonly rereadMs: number;
}

class FileIdentitySource extends PublishedIdentity implements FileIdentity {
  readonly #paths: IdentityPaths;
  readonly #settings: Settings;
  readonly #spiffeId: SpiffeId;
  readonly #watch: Watch;
  readonly #closing = new AbortController();
  readonly #problemListeners = new Listeners<readonly Problem[]>();
  #published: string;
  #status: X509SourceStatus;
  #following: Promise<void> | null = null;
  #again = false;

  constructor(paths: IdentityPaths, settings: Settings, first: X509Material, warnings: readonly Problem[]) {
    super(first);
    this.#paths = paths;
    this.#settings = settings;
    this.#spiffeId = first.svid.spiffeId;
    this.#published = digestOfMaterial(first);
    this.#status = statusOf(WELL, null, warnings);
    this.#watch = watchPaths([...pathsByPlace(paths).values()], () => void this.#follow());
    // What changed between the first reading and the watch.
    void this.#follow();
    void this.#rereadForever();
  }

  get status(): X509SourceStatus {
    return this.#status;
  }

  onProblem(listener: (problems: readonly Problem[]) => void): () => void {
    return this.#problemListeners.add(listener);
  }

  override async close(): Promise<void> {
    this.#closing.abort();
    this.#watch.close();
    this.#problemListeners.clear();
    await super.close();
    await this.#following;
  }

  async #rereadForever(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#settings.clock.delay(this.#settings.rereadMs, signal);
      this.#watch.rearm();
      void this.#follow();
    }
  }

  /** Brings what is published up to the files. One at a time; a change announced meanwhile causes one more. */
  #follow(): Promise<void> {
    this.#again = true;
    this.#following ??= (async () => {
      while (this.#again && !this.#closing.signal.aborted) {
        await this.#settings.clock.delay(GATHER_MS, this.#closing.signal);
        this.#again = false;
        await this.#settle();
      }
    })().finally(() => {
      this.#following = null;
    });
    return this.#following;
  }

  /** Reads until a good set was found twice in a row, or time is up. */
  async #settle(): Promise<void> {
    const { signal } = this.#closing;
    let reading = await this.#read();
    if (this.#inUse(reading)) return this.#report(WELL, reading.warnings);
    let unchanged = 0;
    for (let readings = 1; readings < MOST_READINGS; readings++) {
      const wait = WAITS_MS[unchanged];
      if (wait === undefined) break;
      await this.#settings.clock.delay(wait, signal);
      if (signal.aborted) return;
      const { digest } = reading;
      reading = await this.#read();
      // What changed since is being written still.
      if (reading.digest !== digest) unchanged = 0;
      else if (reading.material !== null) return this.#use(reading.material, reading.warnings);
      else unchanged += 1;
    }
    this.#report(reading.material === null ? reading.problems : [restless(this.#paths)], reading.warnings);
  }

  #read(): Promise<Reading> {
    return readIdentity(this.#paths, this.#spiffeId, this.#settings.clock.now());
  }

  #inUse({ material }: Reading): boolean {
    return material !== null && digestOfMaterial(material) === this.#published;
  }

  #use(material: X509Material, warnings: readonly Problem[]): void {
    this.#report(WELL, warnings);
    const digest = digestOfMaterial(material);
    if (digest === this.#published) return;
    this.#published = digest;
    this.publish(material);
  }

  #report(problems: readonly Problem[], warnings: readonly Problem[]): void {
    if (this.#closing.signal.aborted) return;
    const before = this.#status;
    const since = problems.length === 0 ? null : (before.since ?? this.#settings.clock.now());
    this.#status = statusOf(problems, since, warnings);
    if (problems.length > 0 && !sameProblems(problems, before.problems)) this.#problemListeners.emit(problems);
  }
}

function statusOf(problems: readonly Problem[], since: number | null, warnings: readonly Problem[]): X509SourceStatus {
  return Object.freeze({ lastError: problems[0] ?? null, problems, since, warnings });
}

function sameProblems(one: readonly Problem[], other: readonly Problem[]): boolean {
  const text = (problem: Problem | undefined): string => `${problem?.place}\n${problem?.problem}`;
  return one.length === other.length && one.every((problem, index) => text(problem) === text(other[index]));
}

function restless({ certificate }: IdentityPaths): Problem {
  return {
    place: `certificate (${certificate})`,
    problem: 'its set of files keeps changing',
    remedy: 'Write each new set once, by writing beside it and renaming',
  };
}

function optionProblems(options: FileIdentityOptions, rereadSeconds: number): Problem[] {
  const problems: Problem[] = [];
  const { certificate, privateKey, bundles } = options;
  if (typeof bundles !== 'object' || bundles === null || Object.keys(bundles).length === 0) {
    const remedy = 'Give at least the file of the own trust domain';
    problems.push({ place: 'bundles', problem: 'there is none', remedy });
    return problems;
  }
  for (const [place, path] of pathsByPlace({ certificate, privateKey, bundles })) {
    if (typeof path === 'string' && path !== '' && !path.includes('\0')) continue;
    problems.push({ place, problem: 'it is no path', remedy: 'Give the path of a PEM file' });
  }
  if (!(rereadSeconds > 0)) {
    problems.push({
      place: 'rereadSeconds',
      problem: 'it is not positive',
      remedy: 'Give a positive number of seconds',
    });
  }
  return problems;
}
