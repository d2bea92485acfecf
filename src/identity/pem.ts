/**
 * PEM (RFC 7468): blocks in, blocks out.
 *
 * @module
 */

/** One block. The bytes of a private key are never put into a message. */
export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
  /** The block as it stood, lines joined by a line feed. */
  readonly text: string;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,64})-----\s*\n([\s\S]*?)\n-----END ([A-Z0-9 ]{1,64})-----/g;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * All blocks of a text; text around them is ignored. A block that is cut short or is not base64 makes the whole text
 * malformed (`null`): it is a torn file, of which nothing may be believed.
 */
export function readPem(text: string): readonly PemBlock[] | null {
  const unified = text.replaceAll('\r\n', '\n');
  const blocks: PemBlock[] = [];
  for (const [whole, label = '', body = '', end] of unified.matchAll(BLOCK)) {
    // Old private keys carry header lines when encrypted; such a key is left to be refused by its reader.
    const base64 = body.includes(':') ? '' : body.replaceAll(/\s/g, '');
    if (label !== end || (!BASE64.test(base64) && !body.includes(':'))) return null;
    blocks.push({ label, der: new Uint8Array(Buffer.from(base64, 'base64')), text: whole });
  }
  const begun = unified.split('-----BEGIN ').length - 1;
  const ended = unified.split('-----END ').length - 1;
  return begun === blocks.length && ended === blocks.length ? blocks : null;
}

/** Certificates (DER) as PEM. */
export function certificatesToPem(certificates: readonly Uint8Array[]): string {
  return certificates
    .map((der) => {
      const lines =
        Buffer.from(der)
          .toString('base64')
          .match(/.{1,64}/g) ?? [];
      return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
    })
    .join('');
}
