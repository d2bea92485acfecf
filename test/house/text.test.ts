import { expect } from 'chai';
import * as rules from './rules.js';
import { type TextFile, textFiles } from './tree.js';

interface Case {
  readonly rule: (file: TextFile) => string[];
  readonly title: string;
  /** A file the rule must refuse. */
  readonly planted: TextFile;
  /** A file like it that the rule must let pass. */
  readonly honest: TextFile;
}

const key = 'A'.repeat(64);
const join = (...parts: string[]): string => parts.join('');

const CASES: readonly Case[] = [
  {
    title: 'no source file is longer than 400 lines',
    rule: rules.tooLong,
    planted: { path: 'src/long.ts', text: '\n'.repeat(401) },
    honest: { path: 'src/long.ts', text: '\n'.repeat(400) },
  },
  {
    title: 'no note to oneself is left',
    rule: rules.leftovers,
    planted: { path: 'src/a.ts', text: join('// TO', 'DO: later') },
    honest: { path: 'src/a.ts', text: '// mkdtemp wants XXXXXX' },
  },
  {
    title: 'no test is switched off',
    rule: rules.switchedOff,
    planted: { path: 'test/a.test.ts', text: join('it', ".skip('works')") },
    honest: { path: 'test/a.test.ts', text: 'this.skip();' },
  },
  {
    title: 'no path of a machine',
    rule: rules.machinePaths,
    planted: { path: 'docs/a.md', text: join('see /ho', 'me/somebody/a') },
    honest: { path: 'docs/a.md', text: 'unix:/tmp/spire-agent/public/api.sock, spiffe://acme.example/home/a' },
  },
  {
    title: 'no word of the tools of a workplace',
    rule: rules.workplaceWords,
    planted: { path: 'docs/a.md', text: join('https://regis', 'try.acme.example/') },
    honest: { path: 'docs/a.md', text: 'the agent of the fleet; a shared store' },
  },
  {
    title: 'no private key is committed',
    rule: rules.privateKeys,
    planted: { path: 'test/a.ts', text: `-----BEGIN ${'PRIVATE'} KEY-----\n${key}\n` },
    honest: { path: 'test/a.ts', text: `-----BEGIN CERTIFICATE-----\n${key}\n` },
  },
  {
    title: 'the lock file names no download address',
    rule: rules.lockAddresses,
    planted: { path: 'package-lock.json', text: '"resolved": "https://acme.example/a.tgz"' },
    honest: { path: 'package-lock.json', text: '"url": "https://acme.example/fund"' },
  },
];

describe('house: text', () => {
  const files = textFiles();

  it('sees the checkout', () => {
    const paths = files.map((file) => file.path);
    expect(paths).to.include.members(['package.json', 'src/errors.ts', 'test/house/rules.ts', 'README.md']);
  });

  for (const { title, rule, planted, honest } of CASES) {
    it(title, () => {
      expect(rule(planted), 'the planted violation').to.have.length.greaterThan(0);
      expect(rule(honest), 'the honest text').to.deep.equal([]);
      expect(files.flatMap(rule)).to.deep.equal([]);
    });
  }

  it('a private JWK counts as a private key', () => {
    expect(rules.privateKeys({ path: 'test/a.ts', text: `{ "d": "${key}" }` })).to.have.length(1);
  });
});
