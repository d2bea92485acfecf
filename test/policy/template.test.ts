import { expect } from 'chai';
import { compileTemplate } from '#dist/policy/template.js';
import { model } from './shapes.js';

const problem = (text: string): string => {
  const compiled = compileTemplate(text, model);
  return 'problem' in compiled ? `${compiled.problem}. ${compiled.remedy}` : '';
};

describe('policy/template', () => {
  for (const text of [
    'projects/{project_id}',
    '{project_id}',
    'a/{inner.the_id}/b',
    'system/settings',
    'x/{names}',
    'p/{project_id}/i/{many_inner.the_id}',
  ]) {
    it(`accepts ${text}`, () => expect(problem(text)).to.equal(''));
  }

  const wrong: readonly [string, RegExp][] = [
    ['', /neither a segment/],
    ['projects//x', /neither a segment/],
    ['/projects', /neither a segment/],
    ['projects/', /neither a segment/],
    ['projects/*', /neither a segment/],
    ['projects/p-{project_id}', /neither a segment/],
    ['projects/{project_id}x', /neither a segment/],
    ['projects/{', /neither a segment/],
    ['projects/{}', /no field ''/],
    ['projects/{projectid}', /no field 'projectid'.*project_id/],
    ['projects/{projectId}', /no field 'projectId'/],
    ['projects/{inner}', /a message/],
    ['projects/{inner.nothing}', /no field 'nothing'.*the_id/],
    ['projects/{project_id.x}', /not a message/],
    ['projects/{raw}', /bytes/],
    ['projects/{flag}', /bool/],
    ['projects/{ratio}', /floating/],
    ['projects/{tags}', /map/],
    ['projects/{many_inner.labels}', /inside another/],
    ['projects/{names}/i/{many_inner.the_id}', /two repeated fields/],
    ['{name=projects/*}', /not supported yet/],
    ['{name=x}', /not supported yet/],
  ];
  for (const [text, expected] of wrong) {
    it(`refuses ${JSON.stringify(text)} and says what to do`, () => expect(problem(text)).to.match(expected));
  }
});
