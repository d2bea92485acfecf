import { expect } from 'chai';
import { childrenOf, DerError, oidOf, readDer } from '#dist/identity/der.js';
import { readTime } from '#dist/identity/time.js';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

describe('identity/der', () => {
  const good: [string, string][] = [
    ['a sequence', '30 03 02 01 00'],
    ['the empty sequence', '30 00'],
    ['a long length', `30 81 82 04 81 7f ${'00'.repeat(127)}`.replace('81 7f', '7f').replace('81 82', '81 81')],
    ['a negative integer', '02 01 80'],
    ['an integer with a needed zero', '02 02 00 80'],
    ['true', '01 01 ff'],
    ['a bit string', '03 02 07 80'],
    ['the empty bit string', '03 01 00'],
  ];
  for (const [name, text] of good) {
    it(`accepts ${name}`, () => expect(readDer(hex(text)).end).to.equal(hex(text).length));
  }

  const bad: [string, string][] = [
    ['nothing', ''],
    ['a cut header', '30'],
    ['a cut body', '30 03 02 01'],
    ['bytes after the end', '30 00 00'],
    ['an indefinite length', '30 80 00 00'],
    ['a length in two octets where one does', '30 81 03 02 01 00'],
    ['a length with leading zeros', `04 82 00 81 ${'00'.repeat(129)}`],
    ['a length of four octets', '30 84 00 00 00 00'],
    ['a child that is longer than its parent', '30 03 04 05 00 00 00'],
    ['a tag of several bytes', '1f 81 01 00'],
    ['a constructed octet string', '24 04 04 02 01 01'],
    ['a primitive sequence', '10 00'],
    ['an empty integer', '02 00'],
    ['an integer with a needless zero', '02 02 00 7f'],
    ['a negative integer with a needless octet', '02 02 ff 80'],
    ['a boolean of 01', '01 01 01'],
    ['a boolean of two octets', '01 02 ff ff'],
    ['a null with content', '05 01 00'],
    ['a bit string without its first octet', '03 00'],
    ['a bit string with 8 unused bits', '03 02 08 00'],
    ['a bit string with unused bits of nothing', '03 01 01'],
    ['a bit string with padding bits that are set', '03 02 07 81'],
    ['an empty object identifier', '06 00'],
    ['an object identifier that does not end', '06 02 2a 86'],
    ['an object identifier with a needless octet', '06 03 2a 80 01'],
    [
      '30 levels',
      `${'a0 80'.repeat(0)}${Array.from({ length: 30 }, (_, i) => `30 ${(58 - 2 * i).toString(16).padStart(2, '0')}`).join(' ')}`,
    ],
  ];
  for (const [name, text] of bad) {
    it(`refuses ${name}`, () => expect(() => readDer(hex(text))).to.throw(DerError));
  }

  it('reads object identifiers of any size', () => {
    const oid = (text: string): string => oidOf(hex(text), readDer(hex(text)));
    expect(oid('06 03 55 1d 0f')).to.equal('2.5.29.15');
    expect(oid('06 01 27')).to.equal('0.39');
    expect(oid('06 02 88 37')).to.equal('2.999');
    expect(oid('06 14 69 81ba9f858fcdc4daacdd9abbe2939080c6d53b')).to.equal(
      '2.25.123779372580369273771974994683707370171',
    );
  });

  it('refuses to enter a primitive element', () => {
    const bytes = hex('04 02 05 00');
    expect(() => childrenOf(bytes, readDer(bytes))).to.throw(DerError);
  });

  describe('times', () => {
    const time = (tag: number, text: string): number => {
      const bytes = Uint8Array.from([tag, text.length, ...Buffer.from(text)]);
      return readTime(bytes, readDer(bytes));
    };
    it('reads both forms', () => {
      expect(time(0x17, '260102030405Z')).to.equal(Date.UTC(2026, 0, 2, 3, 4, 5));
      expect(time(0x17, '500101000000Z')).to.equal(Date.UTC(1950, 0, 1));
      expect(time(0x17, '491231235959Z')).to.equal(Date.UTC(2049, 11, 31, 23, 59, 59));
      expect(time(0x18, '20500101000000Z')).to.equal(Date.UTC(2050, 0, 1));
      expect(time(0x18, '99991231235959Z')).to.equal(Date.UTC(9999, 11, 31, 23, 59, 59));
    });
    const wrong: [number, string][] = [
      [0x17, '2601020304Z'],
      [0x17, '260102030405'],
      [0x17, '260102030405+0100'],
      [0x17, '260230030405Z'],
      [0x17, '261302030405Z'],
      [0x17, '260102250405Z'],
      [0x17, '260102240000Z'],
      [0x18, '20260102030405Z'],
      [0x18, '20510102030405.5Z'],
      [0x18, '205101020304Z'],
      [0x04, '260102030405Z'],
    ];
    for (const [tag, text] of wrong) {
      it(`refuses ${text} as ${tag}`, () => expect(() => time(tag, text)).to.throw(DerError));
    }
  });
});
