import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { JSONWebKeySet } from 'jose';
import { ConfigurationError } from '#dist/errors.js';
import { type FileJwks, fileJwks, staticJwks } from '#dist/token/jwks-sources.js';
import { fakeClock } from './clock.js';
import { jwksOf, makeKey } from './kit.js';

describe('staticJwks', () => {
  it('checks the set, and keeps a copy of its own', () => {
    const jwks = jwksOf(makeKey('a'));
    const source = staticJwks(jwks);
    jwks.keys.length = 0;
    expect(source.current()?.keys).to.have.length(1);
    expect(() => staticJwks(jwks)).to.throw(ConfigurationError);
    expect(() => staticJwks({} as JSONWebKeySet)).to.throw(ConfigurationError);
    expect(() => staticJwks(7 as never)).to.throw(ConfigurationError);
  });
});

describe('fileJwks', () => {
  let directory: string;
  let path: string;
  let source: FileJwks;
  const clock = fakeClock();

  const write = (to: string, ...keys: string[]) =>
    writeFile(to, JSON.stringify(jwksOf(...keys.map((kid) => makeKey(kid)))));
  const kids = () => source.current()?.keys.map(({ kid }) => kid);
  const change = () =>
    new Promise<void>((resolve) => {
      const remove = source.onChange(() => {
        remove();
        resolve();
      });
    });
  const problemOf = async (started: Promise<void>) => {
    const error = await started.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(ConfigurationError);
    return (error as Error).message;
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'token-'));
    path = join(directory, 'jwks.json');
    source = fileJwks(path, { clock, maxStaleSeconds: 600 });
  });
  afterEach(async () => {
    await source.close();
    await rm(directory, { recursive: true });
  });

  it('names a first file that is missing, empty, torn, too long, a directory or holds a private key', async () => {
    expect(await problemOf(source.ready()))
      .to.contain(path)
      .and.contain('ENOENT');
    const contents: [string, string][] = [
      ['', 'not JSON'],
      ['{"keys":[', 'not JSON'],
      ['x'.repeat(300_000), 'longer than'],
      [JSON.stringify({ keys: [{ ...makeKey('a').privateKey.export({ format: 'jwk' }), kid: 'a' }] }), 'private'],
    ];
    for (const [content, message] of contents) {
      await writeFile(path, content);
      expect(await problemOf(fileJwks(path, { clock }).ready()))
        .to.contain(path)
        .and.contain(message);
    }
    expect(await problemOf(fileJwks(directory, { clock }).ready())).to.contain('regular file');
    expect(() => fileJwks(path, { maxStaleSeconds: 0 })).to.throw(ConfigurationError);
  });

  it('follows a file that is written, and one that is renamed into place', async () => {
    await write(path, 'a');
    await source.ready();
    expect(kids()).to.deep.equal(['a']);
    let changed = change();
    await write(path, 'b');
    await changed;
    expect(kids()).to.deep.equal(['b']);
    changed = change();
    await write(`${path}.tmp`, 'c');
    await rename(`${path}.tmp`, path);
    await changed;
    expect(kids()).to.deep.equal(['c']);
  });

  it('follows symbolic links swapped as Kubernetes does', async () => {
    for (const name of ['v1', 'v2']) {
      await mkdir(join(directory, name));
      await write(join(directory, name, 'jwks.json'), name);
    }
    await symlink('v1', join(directory, '..data'));
    await symlink('..data/jwks.json', path);
    await source.ready();
    expect(kids()).to.deep.equal(['v1']);
    const changed = change();
    await symlink('v2', join(directory, '..tmp'));
    await rename(join(directory, '..tmp'), join(directory, '..data'));
    await changed;
    expect(kids()).to.deep.equal(['v2']);
  });

  it('keeps the last good set while the file is bad, says why, and drops it past the stated age', async () => {
    await write(path, 'a');
    await source.ready();
    expect(source.lastError).to.equal(null);
    for (const content of ['', '{"keys":[]}', '<html></html>', '{"keys":[{"kty":"oct","k":"AA","kid":"x"}]}']) {
      await writeFile(path, content);
      clock.advance(2000);
      await source.refresh();
      expect(kids()).to.deep.equal(['a']);
      expect(source.lastError?.place).to.contain(path);
    }
    await unlink(path);
    clock.advance(2000);
    await source.refresh();
    expect(source.lastError?.problem).to.contain('ENOENT');
    clock.advance(600_000);
    expect(source.current()).to.equal(null);
    await write(path, 'b');
    clock.advance(2000);
    await source.refresh();
    expect(kids()).to.deep.equal(['b']);
    expect(source.lastError).to.equal(null);
  });

  it('reads again by the clock, where no change was announced', async () => {
    await write(path, 'a');
    await source.ready();
    for (let round = 0; round < 3; round++) {
      clock.advance(600_001);
      expect(source.current()).to.equal(null);
      while (source.current() === null) await new Promise((resolve) => setImmediate(resolve));
      expect(kids()).to.deep.equal(['a']);
    }
  });
});
