import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { expect } from 'chai';
import type { JSONWebKeySet } from 'jose';
import { ConfigurationError, RefusalError } from '#dist/errors.js';
import { verifyJws } from '#dist/token/jws.js';
import { parseJwks } from '#dist/token/keys.js';
import type { SignatureAlgorithm } from '#dist/token/types.js';
import { type Alg, b64, headerOf, jwksOf, makeKey, makeToken, type SigningKey, signatureOf, signRaw } from './kit.js';

const DEFAULT: SignatureAlgorithm[] = ['ES256', 'EdDSA'];
const key = makeKey('k1');
const keys = jwksOf(key);

async function reason(compact: string, jwks: JSONWebKeySet = keys, algorithms = DEFAULT): Promise<string> {
  try {
    await verifyJws(compact, { keys: jwks, algorithms });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    if (compact) expect(`${error.message}${error.detail}`).not.to.contain(compact);
    return error.reason;
  }
}

describe('verifyJws', () => {
  it('accepts what is good, and gives header and payload', async () => {
    const { header, payload } = await verifyJws(signRaw(JSON.stringify(headerOf(key)), '{"a":1}', key), {
      keys,
      algorithms: DEFAULT,
    });
    expect({ ...header }).to.deep.equal({ typ: 'at+jwt', alg: 'ES256', kid: 'k1' });
    expect(Buffer.from(payload).toString()).to.equal('{"a":1}');
  });

  for (const alg of ['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519', 'RS256', 'PS256'] as const satisfies Alg[]) {
    it(`verifies ${alg} where it is chosen, and refuses it where it is not, or where one bit differs`, async () => {
      const own = makeKey('own', alg);
      const token = makeToken(own);
      expect(await reason(token, jwksOf(own), [alg])).to.equal('accepted');
      expect(await reason(token, jwksOf(own), [alg === 'ES256' ? 'ES384' : 'ES256'])).to.equal('TOKEN_ALGORITHM');
      const other = makeKey('own', alg);
      expect(await reason(makeToken(other), jwksOf(own), [alg])).to.equal('TOKEN_SIGNATURE');
      const [header, payload, signature = ''] = token.split('.');
      const bytes = Buffer.from(signature, 'base64url');
      bytes[5] = (bytes[5] ?? 0) ^ 1;
      expect(await reason(`${header}.${payload}.${b64(bytes)}`, jwksOf(own), [alg])).to.equal('TOKEN_SIGNATURE');
    });
  }

  for (const alg of [
    'none',
    'None',
    'NONE',
    'nOnE',
    '',
    ' none',
    'none ',
    'HS256',
    'HS384',
    'hs256',
    'es256',
    'ES256 ',
  ]) {
    it(`refuses alg ${JSON.stringify(alg)}, unsigned and signed`, async () => {
      const token = makeToken(key, {}, { alg });
      expect(await reason(token)).to.equal('TOKEN_ALGORITHM');
      expect(await reason(`${token.split('.').slice(0, 2).join('.')}.`)).to.equal('TOKEN_ALGORITHM');
      expect(await reason(token, keys, [alg as SignatureAlgorithm])).to.equal('TOKEN_ALGORITHM');
    });
  }

  it('refuses HMAC keyed with the public key as PEM, DER or JWK', async () => {
    const spki = key.publicKey.export({ format: 'der', type: 'spki' });
    const pem = key.publicKey.export({ format: 'pem', type: 'spki' });
    for (const secret of [
      spki,
      Buffer.from(pem),
      Buffer.from(pem.toString().trim()),
      Buffer.from(JSON.stringify(key.jwk)),
    ]) {
      const input = makeToken(key, {}, { alg: 'HS256' }).split('.').slice(0, 2).join('.');
      const forged = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
      expect(await reason(forged)).to.equal('TOKEN_ALGORITHM');
      const input2 = makeToken(key).split('.').slice(0, 2).join('.');
      const mac = createHmac('sha512', secret).update(input2).digest();
      expect(await reason(`${input2}.${b64(mac)}`)).to.equal('TOKEN_SIGNATURE');
    }
    expect(await reason(makeToken(key))).to.equal('accepted');
  });

  const attacker = makeKey('k1');
  const headers: Record<string, unknown> = {
    jwk: attacker.jwk,
    jku: 'https://attacker.example/jwks',
    x5c: ['MIIB'],
    x5u: 'https://attacker.example/c.pem',
    x5t: 'AAAA',
    crit: ['exp'],
    b64: false,
    zip: 'DEF',
    enc: 'A256GCM',
  };
  for (const [name, value] of Object.entries(headers)) {
    it(`refuses the header member ${name}, whoever signed`, async () => {
      expect(await reason(makeToken(attacker, {}, { [name]: value }))).to.equal('TOKEN_MALFORMED');
      expect(await reason(makeToken(key, {}, { [name]: value }))).to.equal('TOKEN_MALFORMED');
    });
  }
  it('refuses crit empty and crit with b64, and accepts a member it does not know', async () => {
    expect(await reason(makeToken(key, {}, { crit: [] }))).to.equal('TOKEN_MALFORMED');
    expect(await reason(makeToken(key, {}, { crit: ['b64'], b64: true }))).to.equal('TOKEN_MALFORMED');
    expect(await reason(makeToken(key, {}, { whatever: 1 }))).to.equal('accepted');
  });

  const kids: [string, unknown, string][] = [
    ['a path', '../../../../dev/null', 'TOKEN_KEY_UNKNOWN'],
    ['SQL', "k1' OR '1'='1", 'TOKEN_KEY_UNKNOWN'],
    ['a NUL', 'k1\u0000', 'TOKEN_KEY_UNKNOWN'],
    ['__proto__', '__proto__', 'TOKEN_KEY_UNKNOWN'],
    ['constructor', 'constructor', 'TOKEN_KEY_UNKNOWN'],
    ['another case', 'K1', 'TOKEN_KEY_UNKNOWN'],
    ['an array', ['k1'], 'TOKEN_MALFORMED'],
    ['an object', { k1: 1 }, 'TOKEN_MALFORMED'],
    ['a number', 1, 'TOKEN_MALFORMED'],
    ['null', null, 'TOKEN_MALFORMED'],
    ['nothing', undefined, 'TOKEN_MALFORMED'],
    ['empty text', '', 'TOKEN_MALFORMED'],
    ['257 characters', 'k'.repeat(257), 'TOKEN_MALFORMED'],
  ];
  for (const [name, kid, expected] of kids) {
    it(`refuses a kid that is ${name}`, async () => {
      expect(await reason(makeToken(key, {}, { kid }))).to.equal(expected);
    });
  }

  it('refuses ECDSA signatures of zeros, in DER, cut short or lengthened', async () => {
    const input = makeToken(key).split('.').slice(0, 2).join('.');
    const der = sign('sha256', Buffer.from(input), key.privateKey);
    const raw = signatureOf(input, key);
    for (const bytes of [
      Buffer.alloc(64),
      Buffer.alloc(0),
      der,
      raw.subarray(0, 63),
      Buffer.concat([raw, Buffer.alloc(1)]),
    ]) {
      expect(await reason(`${input}.${b64(bytes)}`)).to.equal('TOKEN_SIGNATURE');
    }
    expect(await reason(`${input}.${b64(raw)}`)).to.equal('accepted');
  });

  it('refuses every spelling of base64url but the canonical one', async () => {
    const token = makeToken(key);
    const [header = '', payload = '', signature = ''] = token.split('.');
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    // 64 bytes leave four trailing bits in the last character, which must be zero.
    const last = alphabet[alphabet.indexOf(signature.at(-1) ?? '') + 1] ?? '';
    const spellings = [
      `${header}=.${payload}.${signature}`,
      `${header}.${payload}=.${signature}`,
      `${header}.${payload}.${signature}==`,
      `${header}.${payload}.${signature.slice(0, -1)}${last}`,
      `${header}.${payload}.${signature}\n`,
      ` ${token}`,
      `${token} `,
      `${header}.${payload}.\t${signature}`,
      `${header}.${payload}.${signature.slice(0, 10)}\u0000${signature.slice(10)}`,
      token.replaceAll('-', '+').replaceAll('_', '/') === token
        ? `${token}+`
        : token.replaceAll('-', '+').replaceAll('_', '/'),
    ];
    for (const spelling of spellings) expect(await reason(spelling), spelling.slice(-8)).to.equal('TOKEN_MALFORMED');
    expect(await reason(token)).to.equal('accepted');
  });

  it('refuses other shapes: JWE, detached, four and two parts, JSON serialization, empty, 8 MiB', async () => {
    const token = makeToken(key);
    const [header, , signature] = token.split('.');
    const shapes = [
      'a.b.c.d.e',
      `${header}.${signature}`,
      `${token}.`,
      `.${token}`,
      JSON.stringify({ protected: header, payload: 'e30', signature }),
      '',
      '..',
      `${b64('x'.repeat(8 << 20))}.e30.AA`,
      'é.é.é',
    ];
    for (const shape of shapes) expect(await reason(shape), shape.slice(0, 20)).to.equal('TOKEN_MALFORMED');
    expect(await reason(`${header}..${signature}`)).to.equal('TOKEN_SIGNATURE');
    expect(await reason(undefined as unknown as string)).to.equal('TOKEN_MALFORMED');
  });

  it('refuses headers that are not strict JSON', async () => {
    const good = '{"typ":"at+jwt","alg":"ES256","kid":"k1"}';
    const bad = [
      '{"alg":"none","typ":"at+jwt","alg":"ES256","kid":"k1"}',
      `\uFEFF${good}`,
      '{"typ":"at+jwt","alg":"ES256","kid":"k1","__proto__":{}}',
      '["ES256"]',
      '"ES256"',
      'null',
      `{"alg":"ES256","kid":"k1","x":${'['.repeat(2000)}${']'.repeat(2000)}}`,
      Buffer.concat([Buffer.from('{"kid":"k1","alg":"ES256","x":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
      '{"typ":1,"alg":"ES256","kid":"k1"}',
      '{"typ":"at+jwt","alg":["ES256"],"kid":"k1"}',
    ];
    for (const header of bad)
      expect(await reason(signRaw(header, '{}', key)), String(header)).to.equal('TOKEN_MALFORMED');
    expect(await reason(signRaw(good, '{}', key))).to.equal('accepted');
  });

  it('holds alg to the type, the curve and the own alg of the key', async () => {
    const p384 = makeKey('k1', 'ES384');
    const rsa = makeKey('k1', 'RS256');
    expect(await reason(makeToken(key), jwksOf(p384))).to.equal('TOKEN_ALGORITHM');
    expect(await reason(makeToken(key), jwksOf(rsa))).to.equal('TOKEN_ALGORITHM');
    expect(await reason(makeToken(key), jwksOf(makeKey('k1', 'EdDSA')))).to.equal('TOKEN_ALGORITHM');
    const bound: SigningKey = { ...rsa, jwk: { ...rsa.jwk, alg: 'PS256' } };
    expect(await reason(makeToken(rsa), jwksOf(bound), ['RS256', 'PS256'])).to.equal('TOKEN_ALGORITHM');
    expect(await reason(makeToken({ ...rsa, alg: 'PS256' }), jwksOf(bound), ['RS256', 'PS256'])).to.equal('accepted');
  });
});

describe('parseJwks', () => {
  const parse = (...jwks: unknown[]) => parseJwks({ keys: jwks } as JSONWebKeySet, 'set');
  const refuse = (...jwks: unknown[]): string => {
    try {
      parse(...jwks);
      return 'accepted';
    } catch (error) {
      expect(error).to.be.instanceOf(ConfigurationError);
      return (error as Error).message;
    }
  };
  const rsa = (bits: number, publicExponent: number) => ({
    ...generateKeyPairSync('rsa', { modulusLength: bits, publicExponent }).publicKey.export({ format: 'jwk' }),
    kid: 'r',
  });

  it('takes public keys, and passes over keys that are for something else', () => {
    const set = parse(
      key.jwk,
      { ...makeKey('e', 'RS256').jwk, use: 'enc' },
      { ...makeKey('e2', 'RS256').jwk, alg: 'RSA-OAEP' },
      { kty: 'AKP', kid: 'pq', alg: 'ML-DSA-44', pub: 'AA' },
      { ...makeKey('o').jwk, key_ops: ['encrypt'] },
    );
    expect([...set.byId.keys()]).to.deep.equal(['k1']);
    expect(set.test).to.equal(false);
    expect(parse({ ...key.jwk, zerotrust_test: true }).test).to.equal(true);
  });

  it('refuses private and symmetric keys without repeating them', () => {
    const secret = key.privateKey.export({ format: 'jwk' });
    const message = refuse({ ...secret, kid: 'p' });
    expect(message).to.contain('private');
    expect(message).not.to.contain(String(secret.d));
    expect(refuse({ kty: 'oct', kid: 's', k: 'c2VjcmV0' })).to.contain('symmetric');
    expect(refuse({ ...makeKey('e', 'RS256').privateKey.export({ format: 'jwk' }), kid: 'e', use: 'enc' })).to.contain(
      'private',
    );
  });

  it('refuses weak, malformed and ambiguous keys, each by its place', () => {
    expect(refuse()).to.contain('no key that can verify');
    expect(refuse(rsa(1024, 65537)))
      .to.contain('keys[0]')
      .and.contain('modulus');
    expect(refuse(rsa(2048, 3))).to.contain('exponent');
    expect(refuse({ ...rsa(2048, 65537), e: 'AQ' })).to.contain('exponent');
    expect(refuse({ ...key.jwk, kid: undefined })).to.contain('no kid');
    expect(refuse({ ...key.jwk, kid: 7 })).to.contain('no kid');
    expect(refuse(key.jwk, { ...makeKey('x').jwk, kid: 'k1' })).to.contain('kid is that of another key');
    expect(refuse(key.jwk, { ...key.jwk, kid: 'again' })).to.contain('listed twice');
    expect(refuse({ ...key.jwk, x: `${key.jwk.x}=` })).to.contain('x is not');
    expect(refuse({ ...key.jwk, y: key.jwk.x })).to.contain('not a valid public key');
    expect(refuse({ ...key.jwk, alg: 'HS256' })).to.contain('HMAC');
    expect(refuse({ ...key.jwk, alg: 'RS256' })).to.contain('does not fit');
    expect(refuse({ kty: 'OKP', crv: 'Ed25519', kid: 'w', x: b64(Buffer.alloc(32)) })).to.contain('small order');
    expect(refuse('x', 7, null)).to.contain('3 problems');
    expect(() => parseJwks(Buffer.from('<html>'), 'set')).to.throw(ConfigurationError);
    expect(() => parseJwks(Buffer.from('{"keys":[],"keys":[]}'), 'set')).to.throw(ConfigurationError, 'twice');
    expect(refuse(rsa(2048, 65537))).to.equal('accepted');
  });

  it('knows a key again under another kid', () => {
    const again = createPublicKey({ key: key.jwk, format: 'jwk' }).export({ format: 'jwk' });
    const thumbprint = (kid: string) => parse({ ...again, kid }).byId.get(kid)?.thumbprint;
    expect(thumbprint('a')).to.equal(thumbprint('b'));
    expect(parse(makeKey('a').jwk).byId.get('a')?.thumbprint).not.to.equal(thumbprint('a'));
  });
});
