import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { expect } from 'chai';
import { type Clock, type FileIdentity, fileIdentity, type X509Context } from 'grpc-zero-trust';
import { createFakeClock, type FakeClock, type MintedCertificate } from 'grpc-zero-trust/testing';
import {
  IdentityFolder,
  type IdentityTexts,
  LAYOUTS,
  type Layout,
  nudge,
  untilSource,
} from '../support/identity-files.js';
import { HOUR, leaf, NOW, root } from './support.js';

// Fixed, since the fake clock stands still while certificates are made.
const LASTING = { notBefore: NOW - HOUR, notAfter: NOW + HOUR };
const ca = root(LASTING);
const minted = () => leaf(ca, LASTING);
const NEVER = 10 ** 9;

const texts = (of: MintedCertificate, bundle = ca.pem): IdentityTexts => ({
  certificate: of.pem,
  privateKey: of.privateKeyPem,
  bundle,
});

describe('identity/file-identity: ways of writing', () => {
  let folder: IdentityFolder;
  let source: FileIdentity;
  let clock: FakeClock;
  const first = minted();
  const fingerprint = () => source.current().svid.fingerprint;
  const shows = (of: MintedCertificate) =>
    untilSource(source, clock, () => source.current().svid.fingerprint === of.fingerprint);

  const open = async (layout?: Layout) => {
    clock = createFakeClock(NOW);
    folder = await IdentityFolder.create(texts(first), layout);
    // No periodic reading: only the watch tells.
    source = await fileIdentity({ ...folder.options, clock, rereadSeconds: NEVER });
  };
  afterEach(async () => {
    await source.close();
    await folder.remove();
  });

  for (const [name, layout] of Object.entries(LAYOUTS)) {
    it(`follows files ${name}`, async () => {
      await open(layout);
      expect(fingerprint()).to.equal(first.fingerprint);
      const generations: number[] = [];
      source.onChange(({ generation }) => generations.push(generation));
      for (let round = 0; round < 3; round++) {
        const next = minted();
        await folder.write(texts(next));
        await shows(next);
        expect(source.current().svid.privateKeyPem).to.equal(next.privateKeyPem);
      }
      expect(generations).to.deep.equal([2, 3, 4]);
      expect(source.status).to.include({ lastError: null, since: null });
    });

    it(`follows a bundle ${name}`, async () => {
      await open(layout);
      const second = root(LASTING);
      await folder.write(texts(first, second.pem + ca.pem));
      await untilSource(source, clock, () => source.current().bundles.get('acme.example' as never)?.length === 2);
      expect(fingerprint()).to.equal(first.fingerprint);
    });
  }

  for (const order of [
    ['certificate', 'privateKey'],
    ['privateKey', 'certificate'],
  ] as const) {
    it(`a torn pair, ${order[0]} first, is never shown and no problem while it is young`, async () => {
      await open();
      const seen: string[] = [];
      const problems: unknown[] = [];
      source.onChange((context) => seen.push(context.svid.fingerprint));
      source.onProblem((found) => problems.push(found));
      const next = minted();
      await folder.writeParts({ [order[0]]: texts(next)[order[0]] });
      const later = clock.now() + 1000;
      await untilSource(source, clock, () => clock.now() >= later);
      expect(fingerprint()).to.equal(first.fingerprint);
      await folder.writeParts({ [order[1]]: texts(next)[order[1]] });
      await shows(next);
      expect([seen, problems]).to.deep.equal([[next.fingerprint], []]);
    });
  }

  it('half of a bundle, which is a bundle too, is not used: a set must be found twice', async () => {
    const second = root(LASTING);
    const third = root(LASTING);
    const half = ca.pem + second.pem;
    let between = false;
    clock = createFakeClock(NOW);
    folder = await IdentityFolder.create(texts(first));
    const watched: Clock = {
      now: () => clock.now(),
      async delay(ms, signal) {
        if (ms === NEVER * 1000) return clock.delay(ms, signal);
        // Between the first and the second reading the writer goes on.
        if (ms === 50 && !between) {
          between = true;
          await folder.writeParts({ bundle: half + third.pem });
        }
      },
    };
    source = await fileIdentity({ ...folder.options, clock: watched, rereadSeconds: NEVER });
    const changed = new Promise<X509Context>((resolve) => {
      source.onChange(resolve);
    });
    await folder.writeParts({ bundle: half });
    expect([...(await changed).bundles.values()][0]).to.have.length(3);
    expect(between).to.equal(true);
  });

  it('a writer that does not come to rest is reported, and followed when it does', async () => {
    const sets = [texts(first), texts(minted()), texts(minted())];
    let written = 0;
    let resting = false;
    clock = createFakeClock(NOW);
    folder = await IdentityFolder.create(texts(first));
    const watched: Clock = {
      now: () => clock.now(),
      async delay(ms, signal) {
        if (ms === NEVER * 1000) return clock.delay(ms, signal);
        if (ms === 50 && !resting) await folder.write(sets[++written % sets.length] as IdentityTexts);
      },
    };
    source = await fileIdentity({ ...folder.options, clock: watched, rereadSeconds: NEVER });
    const told = new Promise<string | undefined>((resolve) => {
      source.onProblem(([problem]) => resolve(problem?.problem));
    });
    const last = minted();
    await folder.write(texts(last));
    expect(await told).to.equal('its set of files keeps changing');
    expect(source.current().generation).to.equal(1);
    resting = true;
    await folder.write(texts(last));
    await shows(last);
  });

  it('a set that says the same in another layout is no change', async () => {
    await open();
    const seen: string[] = [];
    source.onChange((context) => seen.push(context.svid.fingerprint));
    await folder.writeParts({ certificate: `issued today\n${first.pem}`, bundle: ca.pem + ca.pem });
    // Shows that all of it was read.
    await chmod(folder.file('privateKey'), 0o644);
    await untilSource(source, clock, () => source.status.warnings.length > 0);
    expect([seen, source.status.lastError]).to.deep.equal([[], null]);
    const next = minted();
    await folder.write(texts(next));
    await shows(next);
    expect(seen).to.deep.equal([next.fingerprint]);
  });

  it('close() lets go of everything, and nothing is published afterwards', async () => {
    const before = handles();
    await open();
    if (before !== null) expect(handles()?.watches).to.be.greaterThan(before.watches);
    await source.close();
    await source.close();
    expect(clock.pending).to.equal(0);
    expect(handles()?.watches).to.equal(before?.watches);
    await folder.write(texts(minted()));
    expect(() => source.current()).to.throw('used after close()');
  });

  it('holds no more file descriptors and watches after 1,000 rotations than before', async function () {
    this.timeout(120_000);
    if (handles() === null) this.skip();
    await open(LAYOUTS['behind ..data, swapped as Kubernetes does']);
    const sets = [texts(minted()), texts(first)];
    const rotate = async (round: number) => {
      const { generation } = source.current();
      await folder.write(sets[round % 2] as IdentityTexts);
      await untilSource(source, clock, () => source.current().generation > generation);
    };
    // Files that are being read at this moment are descriptors too.
    const fewest = async () => {
      const counted: Handles[] = [];
      for (let turns = 0; turns < 500; turns++) {
        await nudge(clock);
        counted.push(handles() as Handles);
      }
      return {
        descriptors: Math.min(...counted.map(({ descriptors }) => descriptors)),
        watches: Math.min(...counted.map(({ watches }) => watches)),
      };
    };
    for (let round = 0; round < 4; round++) await rotate(round);
    const before = await fewest();
    for (let round = 0; round < 1000; round++) await rotate(round);
    expect(source.current().generation).to.equal(1005);
    expect(await fewest()).to.deep.equal(before);
  });
});

interface Handles {
  readonly descriptors: number;
  readonly watches: number;
}

/** Open file descriptors and watched directories of this process; `null` where the system does not tell. */
function handles(): Handles | null {
  if (process.platform !== 'linux') return null;
  const names = readdirSync('/proc/self/fd');
  let watches = 0;
  for (const name of names) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`) !== 'anon_inode:inotify') continue;
      watches += readFileSync(`/proc/self/fdinfo/${name}`, 'utf8').split('inotify wd:').length - 1;
    } catch {
      // Closed meanwhile.
    }
  }
  return { descriptors: names.length, watches };
}
