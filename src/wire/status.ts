/**
 * `google.rpc.Status` with one `google.rpc.ErrorInfo`, as it travels in `grpc-status-details-bin`.
 *
 * @module
 */

import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Reason } from '../errors.js';
import { REASONS } from '../errors.js';

/** The metadata key of `google.rpc.Status` (gRPC over HTTP/2, richer error model). */
export const STATUS_DETAILS_KEY = 'grpc-status-details-bin';

/** The `domain` of every `google.rpc.ErrorInfo` of this project. */
export const ERROR_DOMAIN = 'zerotrust';

const ERROR_INFO_TYPE = 'type.googleapis.com/google.rpc.ErrorInfo';
const LENGTH_DELIMITED = WireType.LengthDelimited;

/** What a refusal tells the caller. */
export interface RefusalInfo {
  readonly reason: Reason;
  /** Names the audit record of this refusal; empty when the server sent none. */
  readonly decisionId: string;
}

/** The bytes of `google.rpc.Status` for a refusal. */
export function encodeRefusal(reason: Reason, decisionId: string): Uint8Array {
  const { status, sentence } = REASONS[reason];
  const info = new BinaryWriter();
  info.tag(1, LENGTH_DELIMITED).string(reason);
  info.tag(2, LENGTH_DELIMITED).string(ERROR_DOMAIN);
  info.tag(3, LENGTH_DELIMITED).fork();
  info.tag(1, LENGTH_DELIMITED).string('decision_id');
  info.tag(2, LENGTH_DELIMITED).string(decisionId).join();
  const out = new BinaryWriter();
  out.tag(1, WireType.Varint).int32(status);
  out.tag(2, LENGTH_DELIMITED).string(sentence);
  out.tag(3, LENGTH_DELIMITED).fork();
  out.tag(1, LENGTH_DELIMITED).string(ERROR_INFO_TYPE);
  out.tag(2, LENGTH_DELIMITED).bytes(info.finish()).join();
  return out.finish();
}

/** Reads a refusal out of `google.rpc.Status`; `null` when there is none of ours. Never throws. */
export function decodeRefusal(bytes: Uint8Array): RefusalInfo | null {
  try {
    for (const any of fieldsOf(bytes, 3)) {
      const [type] = fieldsOf(any, 1);
      const [value] = fieldsOf(any, 2);
      if (type === undefined || value === undefined || text(type) !== ERROR_INFO_TYPE) continue;
      const refusal = decodeErrorInfo(value);
      if (refusal !== null) return refusal;
    }
  } catch {
    // Bytes from the network that are not google.rpc.Status say nothing.
  }
  return null;
}

function decodeErrorInfo(bytes: Uint8Array): RefusalInfo | null {
  const [reason, domain] = [fieldsOf(bytes, 1)[0], fieldsOf(bytes, 2)[0]];
  if (reason === undefined || domain === undefined || text(domain) !== ERROR_DOMAIN) return null;
  const name = text(reason);
  if (!Object.hasOwn(REASONS, name)) return null;
  let decisionId = '';
  for (const entry of fieldsOf(bytes, 3)) {
    const [key] = fieldsOf(entry, 1);
    const [value] = fieldsOf(entry, 2);
    if (key !== undefined && value !== undefined && text(key) === 'decision_id') decisionId = text(value);
  }
  return { reason: name as Reason, decisionId };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** The length-delimited values of one field. */
function fieldsOf(bytes: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === wanted && wire === LENGTH_DELIMITED) found.push(reader.bytes());
    else reader.skip(wire, field);
  }
  return found;
}
