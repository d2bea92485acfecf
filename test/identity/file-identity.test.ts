import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { ConfigurationError, type FileIdentity, type FileIdentityOptions, fileIdentity } from 'grpc-zero-trust';
import { createFakeClock, createKeyPair, type FakeClock, type MintedCertificate } from 'grpc-zero-trust/testing';
import { IdentityFolder, type IdentityTexts, untilClock, untilSource } from '../support/identity-files.js';
import { HOUR, ID, leaf, NOW, root } from './support.js';

// Fixed, since the fake clock stands still while certificates are made.
const LASTING = { notBefore: NOW - HOUR, notAfter: NOW + 90 * HOUR };
const ca = root(LASTING);
const other = root({ ...LASTING, subject: { CN: 'other' } });
const REREAD_SECONDS = 3600;
/** How often a set that stays bad is read. */
const PATIENCE = 7;

const texts = (minted: MintedCertificate, bundle = ca.pem): IdentityTexts => ({
  certificate: minted.pem,
  privateKey: minted.privateKeyPem,
  bundle,
});

/** Neither a line of a key nor a cut of one stands in a text. */
function expectNoKey(text: string, ...keys: string[]): void {
  for (const line of keys.join('\n').split('\n')) {
    if (line.length > 8 && !line.startsWith('-')) expect(text).not.to.include(line.slice(0, 16));
  }
}

describe('identity/file-identity', () => {
  const first = leaf(ca, { notBefore: NOW - HOUR, notAfter: NOW + 24 * HOUR });
  const next = leaf(ca, LASTING);
  let clock: FakeClock;
  let folder: IdentityFolder;
  let source: FileIdentity | null = null;
  beforeEach(async () => {
    clock = createFakeClock(NOW);
    folder = await IdentityFolder.create(texts(first));
  });
  afterEach(async () => {
    await source?.close();
    source = null;
    await folder.remove();
  });

  const open = async (more: Partial<FileIdentityOptions> = {}): Promise<FileIdentity> => {
    source = await fileIdentity({ ...folder.options, clock, rereadSeconds: REREAD_SECONDS, ...more });
    return source;
  };
  const startProblem = async (more: Partial<FileIdentityOptions> = {}): Promise<ConfigurationError> => {
    let settled = false;
    const opened = open(more).then(
      () => expect.fail('it was accepted'),
      (error: unknown) => error as ConfigurationError,
    );
    void opened.finally(() => {
      settled = true;
    });
    await untilClock(
      clock,
      () => settled,
      () => 'the start',
      0,
    );
    const error = await opened;
    expect(error).to.be.instanceOf(ConfigurationError);
    return error;
  };

  describe('at the start', () => {
    it('takes a good set at once, without a delay of its clock', async () => {
      const { current, status } = await open().then((it) => ({ current: it.current(), status: it.status }));
      expect(current.generation).to.equal(1);
      expect(current.svid).to.include({ spiffeId: ID, fingerprint: first.fingerprint });
      expect([...current.bundles.keys()]).to.deep.equal(['acme.example']);
      expect(status).to.deep.equal({ lastError: null, problems: [], since: null, warnings: [] });
    });

    it('waits for a set that is being written', async () => {
      await folder.writeParts({ privateKey: '', certificate: first.pem.slice(0, 80) });
      const opening = open();
      await untilClock(
        clock,
        () => clock.pending > 0,
        () => 'the first reading',
      );
      await folder.write(texts(first));
      let opened = false;
      void opening.then(() => {
        opened = true;
      });
      await untilClock(
        clock,
        () => opened,
        () => 'the start',
        0,
      );
      expect((await opening).current().svid.fingerprint).to.equal(first.fingerprint);
    });

    const wrong: [name: string, parts: () => Partial<IdentityTexts>, part: keyof IdentityTexts, about: RegExp][] = [
      ['a torn certificate', () => ({ certificate: first.pem.slice(0, -40) }), 'certificate', /not PEM, or is cut/],
      ['a key of another pair', () => ({ privateKey: next.privateKeyPem }), 'privateKey', /not the key of the cert/],
      ['an empty key', () => ({ privateKey: '' }), 'privateKey', /holds 0 private keys/],
      ['an empty bundle', () => ({ bundle: '' }), 'bundle', /no usable authority/],
      ['the bundle of another authority', () => ({ bundle: other.pem }), 'certificate', /was issued|leads|issued by/],
      ['an expired leaf', () => texts(leaf(ca, { notBefore: NOW - HOUR, notAfter: NOW - 1 })), 'certificate', /valid/],
      ['a leaf that is not valid yet', () => texts(leaf(ca, { notBefore: NOW + HOUR })), 'certificate', /valid from/],
      ['an authority as leaf', () => texts(ca), 'certificate', /is a CA/],
    ];
    for (const [name, parts, part, about] of wrong) {
      it(`refuses ${name}, naming the file and never a key`, async () => {
        const bad = parts();
        await folder.writeParts(bad);
        const error = await startProblem();
        const [problem] = error.problems;
        expect(problem?.place).to.include(`(${folder.file(part)})`);
        expect(problem?.problem).to.match(about);
        expect(problem?.remedy).to.be.a('string').that.is.not.empty;
        expectNoKey(`${error.message}${error.stack}`, first.privateKeyPem, bad.privateKey ?? '');
      });
    }

    it('refuses a missing file, a directory and a file that is too long at once', async () => {
      await rm(folder.file('privateKey'));
      await rm(folder.file('bundle'));
      await mkdir(folder.file('bundle'));
      await writeFile(folder.file('certificate'), 'x'.repeat(300_000));
      const error = await open().catch((thrown: unknown) => thrown as ConfigurationError);
      if (!(error instanceof ConfigurationError)) throw new Error('it was accepted');
      expect(error.problems.map(({ problem }) => problem)).to.deep.equal([
        'it is longer than 262144 bytes',
        'it cannot be read (ENOENT)',
        'it is not a regular file',
      ]);
      expect(clock.pending).to.equal(0);
    });

    it('refuses options that are no paths, or name no bundle', async () => {
      const placesOf = async (more: object) =>
        (await startProblem(more as Partial<FileIdentityOptions>)).problems.map(({ place }) => place);
      expect(await placesOf({ certificate: '', privateKey: undefined })).to.deep.equal(['certificate', 'privateKey']);
      expect(await placesOf({ bundles: {} })).to.deep.equal(['bundles']);
      expect(await placesOf({ bundles: undefined })).to.deep.equal(['bundles']);
      expect(await placesOf({ bundles: { 'acme.example': 7 } })).to.deep.equal(['bundles["acme.example"]']);
      expect(await placesOf({ rereadSeconds: 0 })).to.deep.equal(['rereadSeconds']);
      expect(await placesOf({ bundles: { 'partner.example': folder.file('bundle') } })).to.deep.equal(['bundles']);
      expect(await placesOf({ bundles: { Acme: folder.file('bundle') } })).to.deep.equal([
        `bundles["Acme"] (${folder.file('bundle')})`,
      ]);
    });
  });

  describe('later', () => {
    /** A directory in the place of a file cannot be read by anybody, not even by root. */
    const block = async (part: keyof IdentityTexts) => {
      await rm(folder.file(part));
      await mkdir(folder.file(part));
    };
    const unblock = async (part: keyof IdentityTexts) => rm(folder.file(part), { recursive: true });
    const foreign = leaf(ca, { ...LASTING, uriNames: ['spiffe://acme.example/agents/other'] });

    const bad: [name: string, spoil: () => Promise<unknown>, about: RegExp, mend?: () => Promise<void>][] = [
      ['torn', () => folder.writeParts({ certificate: next.pem.slice(0, -40) }), /^it is not PEM, or is cut short$/],
      ['certificate emptied', () => folder.writeParts({ certificate: '' }), /^it holds no certificate$/],
      ['key emptied', () => folder.writeParts({ privateKey: '' }), /^it holds 0 private keys$/],
      ['bundle emptied', () => folder.writeParts({ bundle: '' }), /^it holds no usable authority$/],
      [
        'certificate and key swapped',
        () => folder.writeParts({ certificate: next.privateKeyPem, privateKey: next.pem }),
        /^it holds no certificate$|^it holds 0 private keys$/,
      ],
      ['key unreadable', () => block('privateKey'), /^it is not a regular file$/, () => unblock('privateKey')],
      ['bundle unreadable', () => block('bundle'), /^it is not a regular file$/, () => unblock('bundle')],
      ['certificate removed', () => rm(folder.file('certificate')), /^it cannot be read \(ENOENT\)$/],
      ['key of another pair', () => folder.writeParts({ privateKey: next.privateKeyPem }), /^it is not the key of the/],
      ['certificate of another pair', () => folder.writeParts({ certificate: next.pem }), /^it is not the key of the/],
      [
        'expired certificate',
        () => folder.write(texts(leaf(ca, { notBefore: NOW - 2 * HOUR, notAfter: NOW - HOUR }))),
        /^the leaf is valid from/,
      ],
      [
        'other SPIFFE ID',
        () => folder.write(texts(foreign)),
        /^it is for spiffe:\/\/acme\.example\/agents\/other, and/,
      ],
      ['bundle of another authority', () => folder.writeParts({ bundle: other.pem }), /issued/],
      ['certificate of another authority', () => folder.write(texts(leaf(other, LASTING))), /issued/],
      ['leaf that is a CA', () => folder.write(texts(ca)), /is a CA/],
      ['key in the bundle', () => folder.writeParts({ bundle: ca.pem + ca.privateKeyPem }), /^it holds a PRIVATE KEY$/],
    ];
    for (const [name, spoil, about, mend] of bad) {
      it(`${name}: the last good set stays, the problem is told once, and a good set ends it`, async () => {
        let readings = 0;
        const now = () => {
          readings += 1;
          return clock.now();
        };
        const it = await open({ clock: { now, delay: clock.delay } });
        const good = it.current();
        const changes: number[] = [];
        const told: string[][] = [];
        it.onChange(({ generation }) => changes.push(generation));
        it.onProblem((problems) => told.push(problems.map(({ problem }) => problem)));
        await spoil();
        await untilSource(it, clock, () => it.status.lastError !== null);
        expect(it.status.lastError?.problem).to.match(about);
        expect(it.status.lastError?.place).to.match(/^(certificate|privateKey|bundles\["acme.example"\]) \(\//);
        expect(it.status.since).to.be.within(NOW, clock.now());
        expect(told).to.deep.equal([it.status.problems.map(({ problem }) => problem)]);
        expectNoKey(JSON.stringify(it.status), first.privateKeyPem, next.privateKeyPem, ca.privateKeyPem);
        // Read again, and still the same problem.
        const { since } = it.status;
        const enough = readings + PATIENCE;
        await clock.advance(REREAD_SECONDS * 1000);
        await untilSource(it, clock, () => readings >= enough);
        expect([it.current(), changes, it.status.since]).to.deep.equal([good, [], since]);

        await mend?.();
        await folder.write(texts(next));
        await untilSource(it, clock, () => it.current() !== good);
        expect(it.current()).to.deep.include({ generation: 2 });
        expect(it.current().svid.fingerprint).to.equal(next.fingerprint);
        expect(it.status).to.deep.equal({ lastError: null, problems: [], since: null, warnings: [] });
        expect([changes, told.length]).to.deep.equal([[2], 1]);
      });
    }

    it('a set that is put back as it was is no change, and ends the problem', async () => {
      const it = await open();
      await folder.writeParts({ privateKey: '' });
      await untilSource(it, clock, () => it.status.lastError !== null);
      await folder.write(texts(first));
      await untilSource(it, clock, () => it.status.lastError === null);
      expect(it.current().generation).to.equal(1);
    });

    it('a certificate that is valid only later is used when its time has come, though nothing is written then', async () => {
      const it = await open();
      const later = leaf(ca, { notBefore: NOW + 2 * HOUR, notAfter: NOW + 9 * HOUR });
      await folder.write(texts(later));
      await untilSource(it, clock, () => it.status.lastError !== null);
      expect(it.current().svid.fingerprint).to.equal(first.fingerprint);
      await clock.advance(2 * HOUR);
      await untilSource(it, clock, () => it.status.lastError === null);
      expect(it.current().svid.fingerprint).to.equal(later.fingerprint);
    });

    it('a certificate nobody renews is reported when it has expired', async () => {
      const it = await open();
      await clock.advance(25 * HOUR);
      await untilSource(it, clock, () => it.status.lastError !== null);
      expect(it.status.lastError).to.include({ remedy: 'Renew the certificate, or set the clock right' });
      expect(it.current().svid.fingerprint).to.equal(first.fingerprint);
    });

    it('a bundle of a partner belongs to the set', async () => {
      const partner = join(folder.path, 'partner.crt');
      await writeFile(partner, other.pem);
      const it = await open({ bundles: { ...folder.options.bundles, 'partner.example': partner } });
      await writeFile(partner, '');
      await untilSource(it, clock, () => it.status.lastError !== null);
      expect(it.status.lastError?.place).to.equal(`bundles["partner.example"] (${partner})`);
      expect(it.current().bundles.size).to.equal(2);
    });
  });

  it('a key that every user can read is a warning and no error', async function () {
    if (process.platform === 'win32') this.skip();
    await chmod(folder.file('privateKey'), 0o644);
    const it = await open();
    const [warning] = it.status.warnings;
    expect(it.status.lastError).to.equal(null);
    expect(warning?.place).to.equal(`privateKey (${folder.file('privateKey')})`);
    expect(warning?.problem).to.match(/mode 0644/);
    await chmod(folder.file('privateKey'), 0o640);
    await untilSource(it, clock, () => it.status.warnings.length === 0);
  });

  it('takes certificate and key from one file', async () => {
    const both = join(folder.path, 'both.pem');
    await writeFile(both, first.pem + first.privateKeyPem, { mode: 0o600 });
    const it = await open({ certificate: both, privateKey: both });
    expect(it.current().svid.fingerprint).to.equal(first.fingerprint);
    const renewed = leaf(ca, { ...LASTING, key: createKeyPair() });
    await writeFile(both, renewed.pem + renewed.privateKeyPem);
    await untilSource(it, clock, () => it.current().svid.fingerprint === renewed.fingerprint);
  });

  it('a listener that fails does not keep the others from hearing, and is removed by what it was given', async () => {
    const it = await open();
    const heard: string[] = [];
    it.onProblem(() => {
      throw new Error('a listener of its own');
    });
    it.onProblem(() => heard.push('kept'));
    it.onProblem(() => heard.push('removed'))();
    await folder.writeParts({ privateKey: '' });
    await untilSource(it, clock, () => it.status.lastError !== null);
    expect(heard).to.deep.equal(['kept']);
  });
});
