import { expect } from 'chai';
import { isJsonObject, parseStrictJson } from '#dist/token/strict-json.js';
import { seeded } from './kit.js';

const parse = (input: string | Uint8Array, maxDepth = 16) =>
  parseStrictJson(typeof input === 'string' ? Buffer.from(input) : Uint8Array.from(input), {
    maxBytes: 4096,
    maxDepth,
  });

describe('parseStrictJson', () => {
  const good: Record<string, string> = {
    'an object': '{"a":1,"b":[true,false,null],"c":{"a":"x"}}',
    'the same name in different objects': '{"a":{"a":1},"b":[{"a":1},{"a":2}]}',
    'colons, braces and quotes inside text': '{"a:b":"{\\"x\\":1}[]","c":"\\\\"}',
    'escapes of every kind': '"\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u00e9 \\ud83d\\ude00"',
    'white space': ' \t\r\n{ "a" : [ 1 , 2 ] } ',
    numbers: '[0,-0,1.5,1e3,-2E-2,123456789012345]',
    'names of inherited members': '{"constructor":1,"toString":2,"hasOwnProperty":3}',
    'an index as a name': '{"0":1,"1":2}',
    'beyond the basic plane': '"😀"',
  };
  for (const [name, text] of Object.entries(good)) {
    it(`reads ${name} as JSON.parse does`, () => {
      const result = parse(text);
      expect(result).to.have.property('value');
      expect(JSON.stringify((result as { value: unknown }).value)).to.equal(JSON.stringify(JSON.parse(text)));
    });
  }

  const bad: Record<string, string | Uint8Array> = {
    'a duplicate member': '{"a":1,"a":1}',
    'a duplicate member deep inside': '[{"x":{"a":1,"b":2,"a":3}}]',
    'a duplicate in another spelling': '{"a":1,"\\u0061":2}',
    'a duplicate whose first value holds members': '{"a":{"b":1},"a":2}',
    'a member named __proto__': '{"__proto__":{"admin":true}}',
    'a member named __proto__, escaped': '{"\\u005f_proto__":1}',
    'an escaped lone high surrogate': '"\\ud800"',
    'an escaped lone low surrogate': '{"a":"\\uDFFFx"}',
    'a lone surrogate in a name': '{"\\ud800":1}',
    'surrogates in the wrong order': '"\\ude00\\ud83d"',
    'a byte order mark': Buffer.from('\uFEFF{}'),
    'an overlong slash': Buffer.from([0x22, 0xc0, 0xaf, 0x22]),
    'an encoded surrogate': Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
    'a stray continuation byte': Buffer.from([0x22, 0x80, 0x22]),
    'beyond U+10FFFF': Buffer.from([0x22, 0xf4, 0x90, 0x80, 0x80, 0x22]),
    'an infinite number': '{"exp":1e999}',
    'a negative infinite number': '[-1e999]',
    NaN: '[NaN]',
    'a trailing comma': '{"a":1,}',
    'a comment': '{"a":1}//x',
    'two values': '{}{}',
    nothing: '',
    'a bare control character': '"\u0001"',
    'single quotes': "{'a':1}",
    'a leading zero': '[01]',
    'too many bytes': `"${'x'.repeat(5000)}"`,
    'an unclosed string': '{"a":"b',
    'an unclosed escape': '"\\',
  };
  for (const [name, input] of Object.entries(bad)) {
    it(`refuses ${name}`, () => {
      expect(parse(input)).to.have.property('problem');
    });
  }

  it('bounds nesting, at the bound and beyond, and is not troubled by 100,000 levels', () => {
    const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    expect(parse(nested(16))).to.have.property('value');
    expect(parse(nested(17))).to.have.property('problem', 'nested too deeply');
    const deep = Buffer.from(nested(100_000));
    expect(parseStrictJson(deep, { maxBytes: 1 << 20 })).to.have.property('problem', 'nested too deeply');
  });

  it('makes frozen objects that inherit nothing', () => {
    const { value } = parse('{"a":{"b":[1]}}') as { value: { a: { b: number[] } } };
    expect(isJsonObject(value)).to.equal(true);
    expect('constructor' in value).to.equal(false);
    expect('toString' in value.a).to.equal(false);
    expect(Object.isFrozen(value) && Object.isFrozen(value.a) && Object.isFrozen(value.a.b)).to.equal(true);
  });

  it('agrees with JSON.parse on 20,000 mutated texts, but for what it refuses on purpose', () => {
    const random = seeded(7);
    const seeds = Object.values(good);
    const alphabet = '{}[]:,"\\ \tabu0019-+.eE/nrtfalse';
    let parsed = 0;
    for (let round = 0; round < 20_000; round++) {
      let text = seeds[Math.floor(random() * seeds.length)] ?? '';
      for (let edits = Math.floor(random() * 4); edits > 0; edits--) {
        const at = Math.floor(random() * (text.length + 1));
        const char = alphabet[Math.floor(random() * alphabet.length)] ?? '';
        text = text.slice(0, at) + (random() < 0.6 ? char : '') + text.slice(at + (random() < 0.5 ? 1 : 0));
      }
      text = text.toWellFormed();
      let expected: unknown;
      let valid = true;
      try {
        expected = JSON.parse(text);
      } catch {
        valid = false;
      }
      const result = parse(text);
      if ('value' in result) {
        parsed++;
        expect(valid, text).to.equal(true);
        expect(JSON.stringify(result.value), text).to.equal(JSON.stringify(expected));
      } else if (valid) {
        expect(result.problem, text).to.match(/twice|surrogate|range|__proto__|deeply/);
      }
    }
    expect(parsed).to.be.greaterThan(2000);
  });
});
