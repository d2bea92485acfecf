import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { compile } from './compile.js';
import { extractSnippets, isDocument } from './snippets.js';
import { hasFrontDoor, root, textFiles } from './tree.js';

const fence = '```';
const block = (language: string, code: string): string => `${fence}${language}\n${code}\n${fence}\n`;

describe('house: snippets', function () {
  this.timeout(60_000);

  it('a TypeScript block without a marker is refused, a shell block is not', () => {
    const { problems, programs } = extractSnippets([
      { path: 'README.md', text: `${block('sh', 'npm test')}\n${block('ts', 'const a = 1;')}` },
    ]);
    expect(problems).to.deep.equal(['README.md:5: a ts block without a marker']);
    expect(programs.size).to.equal(0);
  });

  it('a snippet continues another, and files stand beside them', () => {
    const text = [
      `<!-- snippet: one -->\n${block('ts', 'const a = 1;')}`,
      `<!-- snippet: two, continues one -->\n\n${block('ts', 'export const b = a;')}`,
      `<!-- file: tasks.proto -->\n${block('proto', 'syntax = "proto3";')}`,
    ].join('\n');
    const { problems, programs, files } = extractSnippets([{ path: 'README.md', text }]);
    expect(problems).to.deep.equal([]);
    expect(programs.get('two')?.code).to.equal('const a = 1;\nexport const b = a;\n');
    expect(files.get('tasks.proto')).to.equal('syntax = "proto3";\n');
  });

  it('a snippet that continues nothing, or stands twice, is refused', () => {
    const text = `<!-- snippet: one, continues none -->\n${block('ts', '')}\n<!-- snippet: one -->\n${block('ts', '')}`;
    expect(extractSnippets([{ path: 'README.md', text }]).problems).to.have.length(2);
  });

  it('every block of the documents is marked and type-checks against the built package', function () {
    const { problems, programs } = extractSnippets(textFiles().filter(isDocument));
    expect(problems).to.deep.equal([]);
    expect([...programs.keys()]).to.include('guarded-service');
    if (!hasFrontDoor) return this.skip();
    const folder = join(root, 'build/snippets');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const paths = [...programs.values()].map(({ name, code }) => {
      const path = join(folder, `${name}.ts`);
      writeFileSync(path, code);
      return path;
    });
    expect(compile(paths)).to.deep.equal([]);
  });
});
