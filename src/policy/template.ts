/**
 * Resource templates: `projects/{project_id}/tasks/{task.id}` over the fields of a request.
 *
 * @module
 */

import type { MessageModel } from './schema.js';

/** A template checked against a request type. */
export interface Template {
  readonly text: string;
}

/** What is wrong with a template. */
export interface TemplateProblem {
  readonly problem: string;
  readonly remedy: string;
}

/** Checks a template against a request type and prepares it. (Stand-in signature: written elsewhere in parallel.) */
export function compileTemplate(text: string, _input: MessageModel): Template | TemplateProblem {
  return { text };
}
