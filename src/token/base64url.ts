/**
 * Base64url as JOSE means it, in its one canonical spelling.
 *
 * @module
 */

/**
 * Decodes base64url without padding (RFC 7515, section 2). `null` for anything but the canonical spelling: padding,
 * whitespace, the `+/` alphabet, an impossible length, or non-zero trailing bits (RFC 4648, section 3.5). Otherwise one
 * token would have many texts, and whatever is keyed by the text could be bypassed.
 */
export function decodeBase64url(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}

/** Whether `text` is the canonical base64url of exactly `size` bytes. */
export function isBase64urlOf(text: unknown, size: number): text is string {
  if (typeof text !== 'string' || text.length !== Math.ceil((size * 4) / 3)) return false;
  return decodeBase64url(text)?.length === size;
}
