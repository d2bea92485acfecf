import { createHmac, createPublicKey, sign } from 'node:crypto';
import { connect, createServer, type Server } from 'node:net';
import { expect } from 'chai';
import { createKeyPair, mintCertificate, signJwt } from 'grpc-zero-trust/testing';
import { expectRefused, served } from '../support/calls.js';
import { bearer, type Fixture, startFixture, unary } from '../support/fixture.js';
import { accepts, base64url, ecdsa, type Forgery, type Mould, refuses } from '../support/forge.js';
import { whoAmI } from '../support/impostor.js';

/** Without a signature, or with the one of the honest token. */
const unsigned = (alg: unknown, signature: 'none' | 'honest'): Forgery[2] => {
  return ({ header, claims, honest }) =>
    `${base64url(JSON.stringify({ ...header, alg }))}.${base64url(JSON.stringify(claims))}.${
      signature === 'none' ? '' : honest.split('.')[2]
    }`;
};

/** The public key of the issuer in every form in which it could be taken for a shared secret. */
const SECRETS: readonly [string, (made: Mould) => string | Uint8Array][] = [
  ['PEM', (made) => publicKey(made).export({ type: 'spki', format: 'pem' }) as string],
  [
    'PEM without the last line break',
    (made) => (publicKey(made).export({ type: 'spki', format: 'pem' }) as string).trim(),
  ],
  ['DER', (made) => publicKey(made).export({ type: 'spki', format: 'der' })],
  ['JWK text', ({ key }) => JSON.stringify(key.jwk)],
  ['the key set', ({ fixture }) => JSON.stringify(fixture.authority.jwks())],
  ['coordinates', ({ key }) => Buffer.from(`${key.jwk.x}${key.jwk.y}`, 'base64url')],
  ['nothing', () => ''],
];
const publicKey = ({ key }: Mould) => createPublicKey(key.privateKey);

const hmac = (alg: 'HS256' | 'HS384' | 'HS512' | 'ES256', secret: (made: Mould) => string | Uint8Array): Forgery[2] => {
  return (made) => {
    const input = `${base64url(JSON.stringify({ ...made.header, alg }))}.${base64url(JSON.stringify(made.claims))}`;
    const hash = alg === 'ES256' ? 'sha256' : `sha${alg.slice(2)}`;
    return `${input}.${createHmac(hash, secret(made)).update(input).digest('base64url')}`;
  };
};

/** The honest header and claims with this signature. */
const signature = (make: (input: string, made: Mould) => Uint8Array): Forgery[2] => {
  return (made) => {
    const input = made.honest.slice(0, made.honest.lastIndexOf('.'));
    return `${input}.${base64url(make(input, made))}`;
  };
};

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const number = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
const header =
  (members: Record<string, unknown>): Forgery[2] =>
  (made) =>
    made.signed(members);

describe('attacks: forged token headers and signatures', () => {
  let fixture: Fixture;
  before(async () => {
    fixture = await startFixture();
  });
  after(() => fixture.close());
  const refused = (forgeries: readonly Forgery[]): void => refuses(() => fixture, forgeries);

  describe('alg none', () => {
    for (const alg of ['none', 'None', 'NONE', 'nOnE', 'none ', ' none', 'none\u0000', 'ｎone', '']) {
      refused([
        [`${JSON.stringify(alg)} without a signature`, 'TOKEN_ALGORITHM', unsigned(alg, 'none')],
        [`${JSON.stringify(alg)} with the signature of the honest token`, 'TOKEN_ALGORITHM', unsigned(alg, 'honest')],
      ]);
    }
    for (const alg of [undefined, null, 0, true, ['none'], ['ES256'], { toString: 'ES256' }]) {
      refused([[`${JSON.stringify(alg) ?? 'missing'}`, 'TOKEN_MALFORMED', unsigned(alg, 'none')]]);
    }
  });

  describe('HMAC keyed with the public key', () => {
    for (const [form, secret] of SECRETS) {
      for (const alg of ['HS256', 'HS384', 'HS512'] as const) {
        refused([[`${alg} with ${form}`, 'TOKEN_ALGORITHM', hmac(alg, secret)]]);
      }
      refused([[`called ES256, with ${form}`, 'TOKEN_SIGNATURE', hmac('ES256', secret)]]);
    }
  });

  describe('other algorithms', () => {
    refused([
      ...['es256', 'ES256K', 'ES384', 'RS256', 'PS256', 'EdDSA', 'RSA1_5', 'dir', 'ES256 '].map(
        (alg): Forgery => [JSON.stringify(alg), 'TOKEN_ALGORITHM', header({ alg })],
      ),
      [
        'the honest one, with a key of its own',
        'TOKEN_SIGNATURE',
        ({ header, claims, key }) => signJwt({ ...key, privateKey: createKeyPair().privateKey }, header, claims),
      ],
    ]);
  });

  describe('signatures', () => {
    refused([
      ['r = s = 0', 'TOKEN_SIGNATURE', signature(() => Buffer.alloc(64))],
      ['r = 1, s = 0', 'TOKEN_SIGNATURE', signature(() => Buffer.concat([number(1n), number(0n)]))],
      ['r = s = 1', 'TOKEN_SIGNATURE', signature(() => Buffer.concat([number(1n), number(1n)]))],
      ['r = s = n', 'TOKEN_SIGNATURE', signature(() => Buffer.concat([number(ORDER), number(ORDER)]))],
      ['all ones', 'TOKEN_SIGNATURE', signature(() => Buffer.alloc(64, 0xff))],
      [
        'DER instead of r and s',
        'TOKEN_SIGNATURE',
        signature((input, { key }) => sign('sha256', Buffer.from(input), key.privateKey)),
      ],
      ['cut by a byte', 'TOKEN_SIGNATURE', signature((input, { key }) => ecdsa(key, input).subarray(1))],
      [
        'longer by a byte',
        'TOKEN_SIGNATURE',
        signature((input, { key }) => Buffer.concat([ecdsa(key, input), Buffer.of(0)])),
      ],
      [
        'twice',
        'TOKEN_SIGNATURE',
        signature((input, { key }) => Buffer.concat([ecdsa(key, input), ecdsa(key, input)])),
      ],
      ['of another text', 'TOKEN_SIGNATURE', signature((input, { key }) => ecdsa(key, `${input} `))],
      [
        'r and s the other way round',
        'TOKEN_SIGNATURE',
        signature((input, { key }) => {
          const own = ecdsa(key, input);
          return Buffer.concat([own.subarray(32), own.subarray(0, 32)]);
        }),
      ],
      [
        'with one bit turned',
        'TOKEN_SIGNATURE',
        signature((input, { key }) => {
          const own = ecdsa(key, input);
          own[40] = (own[40] ?? 0) ^ 1;
          return own;
        }),
      ],
      ['none at all', 'TOKEN_SIGNATURE', signature(() => Buffer.alloc(0))],
      [
        'of the honest token under other claims',
        'TOKEN_SIGNATURE',
        ({ header, claims, honest }) =>
          `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify({ ...claims, scope: 'all' }))}.${honest.split('.')[2]}`,
      ],
      [
        'of the honest token under another header',
        'TOKEN_SIGNATURE',
        ({ header, honest }) =>
          [base64url(JSON.stringify({ ...header, extra: 1 })), ...honest.split('.').slice(1)].join('.'),
      ],
    ]);

    it('(r, n - s), which verifies as well, is the same token: it cannot be used a second time', async () => {
      const client = fixture.raw(fixture.planner);
      const token = await fixture.token();
      const dot = token.lastIndexOf('.');
      const own = Buffer.from(token.slice(dot + 1), 'base64url');
      const s = BigInt(`0x${own.subarray(32).toString('hex')}`);
      const twin = `${token.slice(0, dot)}.${base64url(Buffer.concat([own.subarray(0, 32), number(ORDER - s)]))}`;
      expect(twin).to.not.equal(token);
      served(await whoAmI(client, twin));
      const task = { project_id: '7', task_id: '1' };
      served(await unary(client.PayTask, client, task, bearer(token)));
      await expectRefused(fixture, await unary(client.PayTask, client, task, bearer(twin)), 'TOKEN_REPLAYED');
      client.close();
    });
  });

  describe('kid', () => {
    const hostile = [
      '../../../../dev/null',
      '..\\..\\windows\\win.ini',
      '/proc/self/environ',
      'file:///dev/null',
      "' OR '1'='1",
      "x' UNION SELECT 'secret'; --",
      'key\u0000',
      '\u0000',
      '__proto__',
      'constructor',
      'toString',
      '$(id)',
      '\r\nx-spiffe-id: admin',
    ];
    refused(hostile.map((kid): Forgery => [JSON.stringify(kid), 'TOKEN_KEY_UNKNOWN', header({ kid })]));
    refused([
      ['of the honest key and a NUL', 'TOKEN_KEY_UNKNOWN', ({ key, signed }) => signed({ kid: `${key.id}\u0000` })],
      [
        'of the honest key in lower case',
        'TOKEN_KEY_UNKNOWN',
        ({ key, signed }) => signed({ kid: key.id.toLowerCase() }),
      ],
    ]);
    const malformed: unknown[] = [undefined, null, '', 0, true, [], {}, 'k'.repeat(257)];
    refused(
      malformed.map(
        (kid): Forgery => [(JSON.stringify(kid) ?? 'missing').slice(0, 20), 'TOKEN_MALFORMED', header({ kid })],
      ),
    );
    refused([['the honest one in an array', 'TOKEN_MALFORMED', ({ key, signed }) => signed({ kid: [key.id] })]]);
  });

  describe('crit, b64, zip', () => {
    const members = [
      { crit: [] },
      { crit: ['exp'] },
      { crit: ['unknown'], unknown: 1 },
      { crit: ['b64'], b64: false },
      { crit: ['b64'], b64: true },
      { crit: 'b64' },
      { crit: null },
      { b64: false },
      { b64: true },
      { zip: 'DEF' },
      { enc: 'A128GCM' },
    ];
    refused(members.map((one): Forgery => [JSON.stringify(one), 'TOKEN_MALFORMED', header(one)]));
    refused([
      [
        'b64: false, over the bare payload',
        'TOKEN_MALFORMED',
        ({ header, claims, key }) => {
          const input = `${base64url(JSON.stringify({ ...header, b64: false, crit: ['b64'] }))}.${JSON.stringify(claims)}`;
          return `${input}.${ecdsa(key, input).toString('base64url')}`;
        },
      ],
    ]);
  });

  describe('typ', () => {
    const types = [
      'JWT',
      'jwt',
      'id_token',
      'ID',
      'Refresh',
      'rt+jwt',
      'logout+jwt',
      'dpop+jwt',
      'at+jwt+x',
      'at-jwt',
      'at+jwt ',
    ];
    refused(
      [...types, 'application/at+jwt;q=1', 'text/at+jwt', ''].map(
        (typ): Forgery => [JSON.stringify(typ), 'TOKEN_TYPE', header({ typ })],
      ),
    );
    refused([
      ['missing', 'TOKEN_TYPE', header({ typ: undefined })],
      ['an array', 'TOKEN_MALFORMED', header({ typ: ['at+jwt'] })],
      ['null', 'TOKEN_MALFORMED', header({ typ: null })],
      [
        'an ID token',
        'TOKEN_TYPE',
        ({ signed }) => signed({ typ: 'JWT' }, { nonce: 'n', azp: 'c', auth_time: 1, at_hash: 'x' }),
      ],
      ['a refresh token', 'TOKEN_TYPE', ({ signed }) => signed({ typ: 'Refresh' }, { typ: 'Refresh' })],
    ]);
    accepts(
      () => fixture,
      [
        ['at+jwt in upper case', (made) => made.signed({ typ: 'AT+JWT' })],
        ['the whole media type', (made) => made.signed({ typ: 'application/at+jwt' })],
      ],
    );
  });

  describe('form', () => {
    const parts = (made: Mould): string[] => made.honest.split('.');
    refused([
      [
        'five parts, as a JWE has',
        'TOKEN_MALFORMED',
        ({ key, honest }) => {
          const [, payload, mac] = honest.split('.');
          const protectedHeader = base64url(JSON.stringify({ alg: 'dir', enc: 'A128GCM', kid: key.id, typ: 'at+jwt' }));
          return `${protectedHeader}..${payload}.${payload}.${mac}`;
        },
      ],
      ['four parts', 'TOKEN_MALFORMED', ({ honest }) => `${honest}.`],
      ['two parts', 'TOKEN_MALFORMED', (made) => parts(made).slice(0, 2).join('.')],
      ['one part', 'TOKEN_MALFORMED', (made) => parts(made).join('')],
      ['detached', 'TOKEN_MALFORMED', (made) => `${parts(made)[0]}..${parts(made)[2]}`],
      ['a leading dot', 'TOKEN_MALFORMED', ({ honest }) => `.${honest}`],
      ['an opaque refresh token', 'TOKEN_MALFORMED', () => 'v1.MRrxQvh0QlVt9kUjZyY'],
      [
        'JSON serialization',
        'TOKEN_MALFORMED',
        (made) => {
          const [first, payload, last] = parts(made);
          return JSON.stringify({ protected: first, payload, signature: last });
        },
      ],
      [
        'nested in another token',
        'TOKEN_MALFORMED',
        ({ signedBytes, header, honest }) => signedBytes(JSON.stringify({ ...header, cty: 'JWT' }), honest),
      ],
    ]);
  });

  describe('keys that travel with the token', () => {
    let listener: Server;
    let url: string;
    let connections = 0;
    before(async () => {
      listener = createServer((socket) => {
        connections += 1;
        socket.destroy();
      });
      await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
      url = `http://127.0.0.1:${(listener.address() as { port: number }).port}`;
    });
    after(() => listener.close());

    const attacker = mintCertificate({ subject: { CN: 'attacker' } });
    const own = { ...attacker.key.publicKey.export({ format: 'jwk' }), kid: 'own', alg: 'ES256', use: 'sig' };
    const x5c = [Buffer.from(attacker.der).toString('base64')];
    /** Signed with the attacker's key, which the header offers for verification. */
    const offering = (members: () => Record<string, unknown>, kid?: string): Forgery[2] => {
      return ({ header, claims, key }) =>
        signJwt(
          { ...key, privateKey: attacker.key.privateKey },
          { ...header, ...(kid && { kid }), ...members() },
          claims,
        );
    };
    for (const kid of [undefined, 'own']) {
      const named = kid === undefined ? 'with the kid of the issuer' : 'with a kid of its own';
      refused([
        [`jwk ${named}`, 'TOKEN_MALFORMED', offering(() => ({ jwk: own }), kid)],
        [`jku ${named}`, 'TOKEN_MALFORMED', offering(() => ({ jku: `${url}/jwks.json` }), kid)],
        [`x5c ${named}`, 'TOKEN_MALFORMED', offering(() => ({ x5c }), kid)],
        [`x5u ${named}`, 'TOKEN_MALFORMED', offering(() => ({ x5u: `${url}/chain.pem` }), kid)],
        [`x5t#S256 ${named}`, 'TOKEN_MALFORMED', offering(() => ({ 'x5t#S256': attacker.fingerprint }), kid)],
      ]);
    }
    refused([
      ['the honest key in jwk', 'TOKEN_MALFORMED', ({ key, signed }) => signed({ jwk: key.jwk })],
      ['an honest jku', 'TOKEN_MALFORMED', ({ signed }) => signed({ jku: `${url}/jwks.json` })],
      ['a URL for a kid', 'TOKEN_KEY_UNKNOWN', offering(() => ({ kid: `${url}/jwks.json` }))],
      ['the URL of an issuer that has a discovery document', 'TOKEN_ISSUER', ({ signed }) => signed({}, { iss: url })],
      ['iss of the issuer, and keys elsewhere', 'TOKEN_MALFORMED', ({ signed }) => signed({ jku: url, x5u: url })],
    ]);

    it('and none of them made the server call out', async () => {
      expect(connections).to.equal(0);
      await new Promise((resolve) => connect(Number(new URL(url).port), '127.0.0.1').once('close', resolve));
      expect(connections, 'the listener listens').to.equal(1);
    });
  });
});
