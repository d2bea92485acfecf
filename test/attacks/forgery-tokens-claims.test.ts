import { createFakeClock, type FakeClock } from 'grpc-zero-trust/testing';
import { expectRefused, served } from '../support/calls.js';
import { type Fixture, SERVER_ID, startFixture } from '../support/fixture.js';
import { accepts, type Forgery, type Members, type Mould, mould, refuses } from '../support/forge.js';
import { whoAmI } from '../support/impostor.js';

const OTHER = 'spiffe://acme.example/services/billing';

const claims =
  (members: Members): Forgery[2] =>
  ({ signed }) =>
    signed({}, members);
/** The honest payload as text, changed as text, signed as it then stands. */
const text =
  (change: (payload: string, made: Mould) => string | Uint8Array): Forgery[2] =>
  (made) =>
    made.signedBytes(JSON.stringify(made.header), change(JSON.stringify(made.claims), made));
/** A member of the honest payload written in another way. */
const written =
  (name: string, value: string): Forgery[2] =>
  (made) =>
    text((payload) =>
      payload.replace(`${JSON.stringify(name)}:${JSON.stringify(made.claims[name])}`, `"${name}":${value}`),
    )(made);
/** A member more, before or after all the others. */
const inFront = (member: string): Forgery[2] => text((payload) => `{${member},${payload.slice(1)}`);
const behind = (member: string): Forgery[2] => text((payload) => `${payload.slice(0, -1)},${member}}`);
const headerText =
  (change: (header: string) => string | Uint8Array): Forgery[2] =>
  (made) =>
    made.signedBytes(change(JSON.stringify(made.header)), JSON.stringify(made.claims));
const bytes = (...parts: (string | readonly number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))));

describe('attacks: forged token claims', () => {
  let fixture: Fixture;
  before(async () => {
    fixture = await startFixture();
  });
  after(() => fixture.close());
  const refused = (forgeries: readonly Forgery[]): void => refuses(() => fixture, forgeries);
  const honest = (tokens: Parameters<typeof accepts>[1]): void => accepts(() => fixture, tokens);

  describe('one member twice', () => {
    for (const name of ['sub', 'aud', 'cnf', 'iss', 'exp', 'jti']) {
      const evil: Record<string, string> = {
        sub: '"spiffe://acme.example/agents/admin"',
        aud: JSON.stringify(OTHER),
        cnf: '{"x5t#S256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}',
        iss: '"https://elsewhere.example"',
        exp: '9999999999',
        jti: '"again"',
      };
      refused([
        [`${name}, the other one first`, 'TOKEN_MALFORMED', inFront(`"${name}":${evil[name]}`)],
        [`${name}, the other one last`, 'TOKEN_MALFORMED', behind(`"${name}":${evil[name]}`)],
        [
          `${name}, the same again`,
          'TOKEN_MALFORMED',
          (made) => behind(`"${name}":${JSON.stringify(made.claims[name])}`)(made),
        ],
      ]);
    }
    refused([
      ['sub, once with an escape', 'TOKEN_MALFORMED', behind('"s\\u0075b":"spiffe://acme.example/agents/admin"')],
      [
        'within cnf',
        'TOKEN_MALFORMED',
        (made) => {
          const own = `"x5t#S256":"${made.fixture.planner.fingerprint}"`;
          return written('cnf', `{"x5t#S256":"${'A'.repeat(43)}",${own}}`)(made);
        },
      ],
      ['alg', 'TOKEN_MALFORMED', headerText((header) => `{"alg":"none",${header.slice(1)}`)],
      ['alg, none last', 'TOKEN_MALFORMED', headerText((header) => `${header.slice(0, -1)},"alg":"none"}`)],
      ['kid', 'TOKEN_MALFORMED', headerText((header) => `{"kid":"other",${header.slice(1)}`)],
      ['typ', 'TOKEN_MALFORMED', headerText((header) => `${header.slice(0, -1)},"typ":"JWT"}`)],
      ['a member nobody reads', 'TOKEN_MALFORMED', behind('"x":{"y":[{"z":1,"z":2}]}')],
      ['__proto__', 'TOKEN_MALFORMED', behind('"__proto__":{"sub":"spiffe://acme.example/agents/admin"}')],
      [
        '__proto__ in the header',
        'TOKEN_MALFORMED',
        headerText((header) => `{"__proto__":{"alg":"none"},${header.slice(1)}`),
      ],
    ]);
    honest([
      ['names that differ', text((payload) => `${payload.slice(0, -1)},"Sub":"x","sub ":"x","constructor":1}`)],
      [
        'white space and escapes',
        text((payload) => ` ${JSON.stringify(JSON.parse(payload), null, 2).replace('spiffe', '\\u0073piffe')}\n`),
      ],
    ]);
  });

  describe('exp, iat, nbf', () => {
    const now = Math.floor(Date.now() / 1000);
    for (const name of ['exp', 'iat', 'nbf']) {
      const honestly = name === 'exp' ? now + 100 : now;
      const wrong = [
        `"${honestly}"`,
        `${honestly}.5`,
        '-1',
        '1e999',
        '-1e999',
        `[${honestly}]`,
        'null',
        'true',
        '{}',
        '1e300',
        '""',
      ];
      for (const value of wrong) {
        refused([
          [
            `${name}: ${value}`,
            'TOKEN_MALFORMED',
            (made) => {
              const rest = { ...made, claims: { ...made.claims, nbf: made.claims['iat'] } };
              return written(name, value)(rest);
            },
          ],
        ]);
      }
    }
    refused([
      ['exp missing', 'TOKEN_MALFORMED', claims({ exp: undefined })],
      ['iat missing', 'TOKEN_MALFORMED', claims({ iat: undefined })],
      ['exp as Infinity, which is not JSON', 'TOKEN_MALFORMED', written('exp', 'Infinity')],
      ['exp as NaN, which is not JSON', 'TOKEN_MALFORMED', written('exp', 'NaN')],
      ['exp in hexadecimal, which is not JSON', 'TOKEN_MALFORMED', written('exp', '0xffffffff')],
      ['exp with a leading zero, which is not JSON', 'TOKEN_MALFORMED', written('exp', '09999999999')],
      ['exp in milliseconds', 'TOKEN_LIFETIME', claims({ exp: (now + 100) * 1000 })],
      ['iat = exp', 'TOKEN_MALFORMED', (made) => made.signed({}, { iat: made.claims['exp'] })],
      ['iat behind exp', 'TOKEN_MALFORMED', (made) => made.signed({}, { iat: (made.claims['exp'] as number) + 1 })],
      ['nbf = exp', 'TOKEN_MALFORMED', (made) => made.signed({}, { nbf: made.claims['exp'] })],
      [
        'a lifetime over the limit by a second',
        'TOKEN_LIFETIME',
        (made) => made.signed({}, { exp: (made.claims['iat'] as number) + 301 }),
      ],
      ['a lifetime of a century', 'TOKEN_LIFETIME', claims({ exp: now + 3_000_000_000 })],
      ['a lifetime hidden in an iat long ago', 'TOKEN_LIFETIME', claims({ iat: 0 })],
    ]);
    honest([
      ['the greatest lifetime', (made) => made.signed({}, { exp: (made.claims['iat'] as number) + 300 })],
      ['exp with an exponent', (made) => written('exp', `${made.claims['exp']}0e-1`)(made)],
      ['nbf now', (made) => made.signed({}, { nbf: made.claims['iat'] })],
    ]);
  });

  describe('aud', () => {
    const audiences: [unknown, 'TOKEN_AUDIENCE' | 'TOKEN_MALFORMED'][] = [
      [OTHER, 'TOKEN_AUDIENCE'],
      [[OTHER], 'TOKEN_AUDIENCE'],
      [[SERVER_ID, OTHER], 'TOKEN_AUDIENCE'],
      [[OTHER, SERVER_ID], 'TOKEN_AUDIENCE'],
      [[SERVER_ID, SERVER_ID], 'TOKEN_AUDIENCE'],
      [`${SERVER_ID}/`, 'TOKEN_AUDIENCE'],
      [`${SERVER_ID}/2`, 'TOKEN_AUDIENCE'],
      [SERVER_ID.slice(0, -1), 'TOKEN_AUDIENCE'],
      [SERVER_ID.toUpperCase(), 'TOKEN_AUDIENCE'],
      [` ${SERVER_ID}`, 'TOKEN_AUDIENCE'],
      [`${SERVER_ID} ${OTHER}`, 'TOKEN_AUDIENCE'],
      ['*', 'TOKEN_AUDIENCE'],
      ['spiffe://acme.example/**', 'TOKEN_AUDIENCE'],
      ['spiffe://acme.example', 'TOKEN_AUDIENCE'],
      [[[SERVER_ID]], 'TOKEN_MALFORMED'],
      [[SERVER_ID, 1], 'TOKEN_MALFORMED'],
      [[], 'TOKEN_MALFORMED'],
      [{ 0: SERVER_ID, length: 1 }, 'TOKEN_MALFORMED'],
      ['', 'TOKEN_MALFORMED'],
      [null, 'TOKEN_MALFORMED'],
      [true, 'TOKEN_MALFORMED'],
      [undefined, 'TOKEN_MALFORMED'],
    ];
    refused(audiences.map(([aud, reason]): Forgery => [JSON.stringify(aud) ?? 'missing', reason, claims({ aud })]));
    honest([['the one value in an array', claims({ aud: [SERVER_ID] })]]);
  });

  describe('iss, sub, jti', () => {
    refused([
      ['iss of nobody we know', 'TOKEN_ISSUER', claims({ iss: 'https://elsewhere.example' })],
      ['iss with a slash more', 'TOKEN_ISSUER', ({ signed, claims: { iss } }) => signed({}, { iss: `${iss}/` })],
      [
        'iss in upper case',
        'TOKEN_ISSUER',
        ({ signed, claims: { iss } }) => signed({}, { iss: `${iss}`.toUpperCase() }),
      ],
      ['iss __proto__', 'TOKEN_ISSUER', claims({ iss: '__proto__' })],
      ...[undefined, null, 1, ['https://test-authority.acme.example'], {}].map(
        (iss): Forgery => [`iss ${JSON.stringify(iss) ?? 'missing'}`, 'TOKEN_MALFORMED', claims({ iss })],
      ),
      ...[undefined, null, '', 1, ['spiffe://acme.example/agents/planner'], 'a\u0000b', 'x'.repeat(2049)].map(
        (sub): Forgery => [
          `sub ${(JSON.stringify(sub) ?? 'missing').slice(0, 40)}`,
          'TOKEN_MALFORMED',
          claims({ sub }),
        ],
      ),
      ...[
        'spiffe://acme.example/agents/planner/',
        'SPIFFE://acme.example/agents/planner',
        ' spiffe://acme.example/agents/planner',
        'spiffe://acme.example/agents/%70lanner',
        'spiffe://acme.example/agents/./planner',
        'spiffe://acme.example:443/agents/planner',
        'spiffe://acme.example/agents/executor',
        'alice',
      ].map((sub): Forgery => [`sub ${sub}`, 'TOKEN_SUBJECT', claims({ sub })]),
      ...[undefined, null, '', 7, ['x'], 'x'.repeat(257), 'a\nb'].map(
        (jti): Forgery => [
          `jti ${(JSON.stringify(jti) ?? 'missing').slice(0, 20)}`,
          'TOKEN_MALFORMED',
          claims({ jti }),
        ],
      ),
    ]);
  });

  describe('encoding', () => {
    const part =
      (index: number, change: (part: string) => string): Forgery[2] =>
      ({ honest: token }) =>
        token
          .split('.')
          .map((one, i) => (i === index ? change(one) : one))
          .join('.');
    for (const [index, name] of ['header', 'payload', 'signature'].entries()) {
      refused([
        [`a padded ${name}`, 'TOKEN_MALFORMED', part(index, (one) => `${one}=`)],
        [`a doubly padded ${name}`, 'TOKEN_MALFORMED', part(index, (one) => `${one}==`)],
        [`a space before the ${name}`, 'TOKEN_MALFORMED', part(index, (one) => ` ${one}`)],
        [`a space within the ${name}`, 'TOKEN_MALFORMED', part(index, (one) => `${one.slice(0, 9)} ${one.slice(9)}`)],
        [
          `a character of standard base64 in the ${name}`,
          'TOKEN_MALFORMED',
          part(index, (one) => `${one.slice(0, 9)}+${one.slice(10)}`),
        ],
        [`a ${name} cut by a character`, 'TOKEN_MALFORMED', part(index, (one) => one.slice(0, -1))],
      ]);
    }
    refused([
      [
        'a signature whose last bits are not zero',
        'TOKEN_MALFORMED',
        part(2, (one) => {
          // 64 bytes leave four bits unused: fifteen other spellings of the same signature.
          const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
          return one.slice(0, -1) + alphabet[alphabet.indexOf(one.at(-1) ?? '') + 1];
        }),
      ],
      ['a quoted token', 'TOKEN_MALFORMED', ({ honest: token }) => `"${token}"`],
      ['two tokens', 'TOKEN_MALFORMED', ({ honest: token }) => `${token}, Bearer ${token}`],
      ['two tokens with a space', 'TOKEN_MALFORMED', ({ honest: token }) => `${token} ${token}`],
    ]);
  });

  describe('bytes that are not the JSON they look like', () => {
    const inside = (...octets: number[]): Forgery[2] =>
      text((payload) => bytes(payload.slice(0, -1), ',"x":"', octets, '"}'));
    refused([
      ['an overlong slash', 'TOKEN_MALFORMED', inside(0xc0, 0xaf)],
      ['an overlong NUL', 'TOKEN_MALFORMED', inside(0xc0, 0x80)],
      ['a surrogate in UTF-8', 'TOKEN_MALFORMED', inside(0xed, 0xa0, 0x80)],
      ['a surrogate pair in UTF-8', 'TOKEN_MALFORMED', inside(0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80)],
      ['beyond Unicode', 'TOKEN_MALFORMED', inside(0xf4, 0x90, 0x80, 0x80)],
      ['a character that is cut off', 'TOKEN_MALFORMED', inside(0xe2, 0x82)],
      ['Latin-1', 'TOKEN_MALFORMED', inside(0xe9)],
      ['a lone surrogate that is escaped', 'TOKEN_MALFORMED', behind('"x":"\\ud800"')],
      ['a lone surrogate for a name', 'TOKEN_MALFORMED', behind('"\\udc00":1')],
      ['surrogates the wrong way round', 'TOKEN_MALFORMED', behind('"x":"\\udc00\\ud800"')],
      ['a byte order mark', 'TOKEN_MALFORMED', text((payload) => `\ufeff${payload}`)],
      ['a byte order mark before the header', 'TOKEN_MALFORMED', headerText((header) => `\ufeff${header}`)],
      ['UTF-16', 'TOKEN_MALFORMED', text((payload) => Buffer.from(payload, 'utf16le'))],
      ['text behind it', 'TOKEN_MALFORMED', text((payload) => `${payload}{}`)],
      ['a NUL behind it', 'TOKEN_MALFORMED', text((payload) => `${payload}\u0000`)],
      ['a comment', 'TOKEN_MALFORMED', text((payload) => `/**/${payload}`)],
      ['a comma at the end', 'TOKEN_MALFORMED', text((payload) => `${payload.slice(0, -1)},}`)],
      ['single quotes', 'TOKEN_MALFORMED', text((payload) => payload.replaceAll('"', "'"))],
      ['a raw line break in a text', 'TOKEN_MALFORMED', behind('"x":"\n"')],
      ['an array', 'TOKEN_MALFORMED', text((payload) => `[${payload}]`)],
      ['a text', 'TOKEN_MALFORMED', text((payload) => JSON.stringify(payload))],
      ['null', 'TOKEN_MALFORMED', text(() => 'null')],
      ['nothing', 'TOKEN_MALFORMED', text(() => '')],
      ['a header that is an array', 'TOKEN_MALFORMED', headerText((header) => `[${header}]`)],
      ['a header that is null', 'TOKEN_MALFORMED', headerText(() => 'null')],
      ['a number out of range nobody reads', 'TOKEN_MALFORMED', behind('"x":1e400')],
      ['arrays 17 deep', 'TOKEN_MALFORMED', behind(`"x":${'['.repeat(17)}${']'.repeat(17)}`)],
      ['arrays as deep as a token can hold', 'TOKEN_MALFORMED', behind(`"x":${'['.repeat(2_500)}${']'.repeat(2_500)}`)],
      [
        'objects as deep as a token can hold',
        'TOKEN_MALFORMED',
        behind(`"x":${'{"a":'.repeat(800)}1${'}'.repeat(800)}`),
      ],
      ['brackets that never close', 'TOKEN_MALFORMED', behind(`"x":${'['.repeat(5_000)}`)],
      [
        'a deep header',
        'TOKEN_MALFORMED',
        headerText((header) => `${header.slice(0, -1)},"x":${'['.repeat(1_000)}${']'.repeat(1_000)}}`),
      ],
      ['a header beyond 4 KiB', 'TOKEN_MALFORMED', ({ signed }) => signed({ x: 'x'.repeat(4_100) })],
      ['a token beyond 8 KiB', 'TOKEN_MALFORMED', claims({ x: 'x'.repeat(7_000) })],
    ]);
    honest([
      ['an emoji, spelled and escaped', text((payload) => `${payload.slice(0, -1)},"x":"😀","y":"\\ud83d\\ude00"}`)],
      ['arrays 14 deep', behind(`"x":${'['.repeat(14)}${']'.repeat(14)}`)],
      ['a token of nearly 8 KiB', ({ signed }) => signed({}, { x: 'x'.repeat(5_000) })],
    ]);
  });
});

describe('attacks: token times, to the second', () => {
  let clock: FakeClock;
  let fixture: Fixture;
  beforeEach(async () => {
    clock = createFakeClock(Math.floor(Date.now() / 1000) * 1000);
    fixture = await startFixture({ clock });
  });
  afterEach(() => fixture.close());

  it('nbf and iat ahead by more than the tolerance', async () => {
    const client = fixture.raw(fixture.planner);
    const now = clock.now() / 1000;
    const { signed } = await mould(fixture);
    for (const name of ['nbf', 'iat']) {
      const ahead = (seconds: number): string => signed({}, { [name]: now + seconds, exp: now + 200 });
      await expectRefused(fixture, await whoAmI(client, ahead(31)), 'TOKEN_NOT_YET_VALID');
      await expectRefused(fixture, await whoAmI(client, ahead(199)), 'TOKEN_NOT_YET_VALID');
      served(await whoAmI(client, ahead(30)));
      served(await whoAmI(client, ahead(0)));
    }
  });

  it('exp behind by the tolerance, also for a token that was served before', async () => {
    const client = fixture.raw(fixture.planner);
    const known = await fixture.token({ lifetimeSeconds: 60 });
    const unknown = await fixture.token({ lifetimeSeconds: 60 });
    served(await whoAmI(client, known));
    await clock.advance(89_000);
    served(await whoAmI(client, known));
    await clock.advance(1_000);
    await expectRefused(fixture, await whoAmI(client, known), 'TOKEN_EXPIRED');
    await expectRefused(fixture, await whoAmI(client, unknown), 'TOKEN_EXPIRED');
    served(await whoAmI(client, await fixture.token()));
  });
});
