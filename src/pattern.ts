/**
 * The one pattern language of the project: anchored, by whole segments. `*` is one segment, a trailing `**` is one or
 * more; everything else is literal. Used for resources, SPIFFE IDs and (with dots and `.*`) actions.
 *
 * @module
 */

const SEGMENT_FORBIDDEN = /[/\\*%\p{Cc}\uFFFD]/u;

/**
 * Whether `text` may stand as one segment of a resource name: not empty, not `.`, `..` or `-`, without separators,
 * wildcards, percent signs, control characters, U+FFFD or lone surrogates. Nothing is normalised.
 */
export function isSegment(text: string): boolean {
  if (text === '' || text === '.' || text === '..' || text === '-') return false;
  if (isPlain(text)) return true;
  return !SEGMENT_FORBIDDEN.test(text) && text.isWellFormed();
}

/** Letters, digits, `_` and `-` only: by far most segments. A loop is several times faster here than an expression. */
function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const plain =
      (code >= 97 && code <= 122) ||
      (code >= 48 && code <= 57) ||
      (code >= 65 && code <= 90) ||
      code === 45 ||
      code === 95;
    if (!plain) return false;
  }
  return true;
}

/** An anchored pattern over segments. */
export interface SegmentPattern {
  readonly text: string;
  /** The segments before a trailing `**`; `null` stands for `*`. */
  readonly head: readonly (string | null)[];
  /** Whether one or more further segments follow. */
  readonly open: boolean;
}

/** Parses a pattern such as `projects/7/**`; `null` when it is malformed. */
export function parsePattern(text: string): SegmentPattern | null {
  const parts = text.split('/');
  const open = parts.at(-1) === '**';
  if (open) parts.pop();
  const head: (string | null)[] = [];
  for (const part of parts) {
    if (part === '*') head.push(null);
    else if (isSegment(part)) head.push(part);
    else return null;
  }
  return { text, head, open };
}

/** Whether the pattern matches these segments, all of them. */
export function matchesPattern(pattern: SegmentPattern, segments: readonly string[]): boolean {
  const { head, open } = pattern;
  if (open ? segments.length <= head.length : segments.length !== head.length) return false;
  for (let i = 0; i < head.length; i++) {
    const want = head[i];
    if (want !== null && want !== segments[i]) return false;
  }
  return true;
}

/** The pattern that matches what both match; `null` when nothing does. */
export function intersectPatterns(a: SegmentPattern, b: SegmentPattern): SegmentPattern | null {
  const [short, long] = a.head.length <= b.head.length ? [a, b] : [b, a];
  if (!short.open && (long.head.length > short.head.length || long.open)) return null;
  if (short.open && long.head.length === short.head.length && !long.open) return null;
  const head: (string | null)[] = [];
  for (let i = 0; i < long.head.length; i++) {
    const x = long.head[i] ?? null;
    const y = i < short.head.length ? (short.head[i] ?? null) : null;
    if (x !== null && y !== null && x !== y) return null;
    head.push(x ?? y);
  }
  const open = long.open;
  const text = [...head.map((part) => part ?? '*'), ...(open ? ['**'] : [])].join('/');
  return { text, head, open };
}

/** The pattern `**`: everything. */
export function isEverything(pattern: SegmentPattern): boolean {
  return pattern.open && pattern.head.length === 0;
}

const PERMISSION = /^[a-z][A-Za-z0-9_]*(\.[a-z][A-Za-z0-9_]*)*$/;

/** Whether `text` is a permission: dotted segments of `[a-z][A-Za-z0-9_]*`. */
export function isPermission(text: string): boolean {
  return PERMISSION.test(text);
}

/** Whether `text` is an action pattern: a permission, or a prefix of one ending in `.*` (never `*` alone). */
export function isActionPattern(text: string): boolean {
  return PERMISSION.test(text.endsWith('.*') ? text.slice(0, -2) : text);
}

/** Whether an action pattern covers a permission. `tasks.*` covers `tasks.task.read`, not `tasks` and not `tasksx.read`. */
export function actionCovers(pattern: string, permission: string): boolean {
  return pattern.endsWith('.*') ? permission.startsWith(pattern.slice(0, -1)) : pattern === permission;
}

/** The action pattern that covers what both cover; `null` when nothing does. */
export function intersectActions(a: string, b: string): string | null {
  if (actionCovers(a, b.endsWith('.*') ? b.slice(0, -1) : b)) return b;
  if (actionCovers(b, a.endsWith('.*') ? a.slice(0, -1) : a)) return a;
  return null;
}

/** A pattern over subjects: SPIFFE IDs with a literal trust domain, or plain subjects that are not workloads. */
export interface SubjectPattern {
  readonly text: string;
  /** The literal trust domain; `null` for plain subjects. */
  readonly trustDomain: string | null;
  matches(subject: string): boolean;
}

const SCHEME = 'spiffe://';
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

/**
 * Parses `spiffe://acme.example/agents/*` (the trust domain is literal) or, for subjects that are not workloads, a
 * pattern such as `users/*`, which never matches a subject that starts with `spiffe://`. `null` when malformed.
 */
export function parseSubjectPattern(text: string): SubjectPattern | null {
  const workload = text.startsWith(SCHEME);
  const rest = workload ? text.slice(SCHEME.length) : text;
  const slash = workload ? rest.indexOf('/') : -1;
  if (workload && slash < 0) return null;
  const trustDomain = workload ? rest.slice(0, slash) : null;
  if (trustDomain !== null && !TRUST_DOMAIN.test(trustDomain)) return null;
  const pattern = parsePattern(workload ? rest.slice(slash + 1) : rest);
  if (pattern === null) return null;
  const prefix = `${SCHEME}${trustDomain}/`;
  const exact = !pattern.open && !pattern.head.includes(null);
  return {
    text,
    trustDomain,
    matches(subject) {
      if (exact) return subject === text;
      if (trustDomain === null) {
        return !subject.startsWith(SCHEME) && matchesPattern(pattern, subject.split('/'));
      }
      return subject.startsWith(prefix) && matchesPattern(pattern, subject.slice(prefix.length).split('/'));
    },
  };
}
