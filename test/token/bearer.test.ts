import { expect } from 'chai';
import { parseBearer } from '#dist/token/bearer.js';

describe('parseBearer', () => {
  const reason = (...values: unknown[]) => {
    const result = parseBearer(values);
    return typeof result === 'string' ? result : result.reason;
  };

  it('gives the token of exactly one bearer value', () => {
    expect(reason('Bearer a.b-_.c')).to.equal('a.b-_.c');
    expect(reason('bearer a.b.c')).to.equal('a.b.c');
    expect(reason('BEARER a.b.c')).to.equal('a.b.c');
    expect(reason(`Bearer ${'a'.repeat(8192)}`)).to.have.length(8192);
  });

  it('says when there is none', () => {
    expect(reason()).to.equal('TOKEN_MISSING');
  });

  const bad: [string, ...unknown[]][] = [
    ['two values', 'Bearer a.b.c', 'Bearer a.b.c'],
    ['two joined with a comma', 'Bearer a.b.c, Bearer d.e.f'],
    ['two joined without space', 'Bearer a.b.c,d.e.f'],
    ['another scheme', 'Basic YTpi'],
    ['DPoP', 'DPoP a.b.c'],
    ['no scheme', 'a.b.c'],
    ['a scheme alone', 'Bearer'],
    ['a scheme and a space', 'Bearer '],
    ['two spaces', 'Bearer  a.b.c'],
    ['a tab', 'Bearer\ta.b.c'],
    ['a leading space', ' Bearer a.b.c'],
    ['a trailing space', 'Bearer a.b.c '],
    ['a line break', 'Bearer a.b.c\n'],
    ['padding', 'Bearer a.b.c='],
    ['quotes', 'Bearer "a.b.c"'],
    ['letters beyond ASCII', 'Bearer a.b.ç'],
    ['a dotless i in the scheme', 'Bearer\u0130 a.b.c'],
    ['too long', `Bearer ${'a'.repeat(8193)}`],
    ['empty', ''],
    ['binary', Buffer.from('Bearer a.b.c')],
  ];
  for (const [name, ...values] of bad) {
    it(`refuses ${name}`, () => {
      expect(reason(...values)).to.equal('TOKEN_MALFORMED');
    });
  }
});
