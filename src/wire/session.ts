/**
 * The messages of `zerotrust.v1.SessionService`, as defined in `proto/zerotrust/v1/session.proto`.
 *
 * @module
 */

import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** Full method of `SessionService.Renew`. */
export const RENEW_METHOD = '/zerotrust.v1.SessionService/Renew';

/** In the initial metadata of a stream: the id by which it can be renewed. */
export const STREAM_ID_KEY = 'zerotrust-stream-id';

/** `zerotrust.v1.RenewRequest`. */
export interface RenewRequest {
  readonly streamId: string;
}

/** `zerotrust.v1.RenewResponse`. */
export interface RenewResponse {
  /** When the stream now ends unless renewed again; milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

interface UnaryDefinition {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: false;
  readonly requestSerialize: (value: RenewRequest) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => RenewRequest;
  readonly responseSerialize: (value: RenewResponse) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => RenewResponse;
}

/** The service as `grpc.Server.addService` takes it. */
export const sessionServiceDefinition: { readonly renew: UnaryDefinition } = {
  renew: {
    path: RENEW_METHOD,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value) =>
      asBuffer(new BinaryWriter().tag(1, WireType.LengthDelimited).string(value.streamId).finish()),
    requestDeserialize(bytes) {
      let streamId = '';
      read(bytes, (field, wire, reader) => {
        if (field !== 1 || wire !== WireType.LengthDelimited) return false;
        streamId = reader.string();
        return true;
      });
      return { streamId };
    },
    responseSerialize(value) {
      const seconds = Math.floor(value.expiresAt / 1000);
      const nanos = Math.round(value.expiresAt - seconds * 1000) * 1_000_000;
      const out = new BinaryWriter().tag(1, WireType.LengthDelimited).fork();
      out.tag(1, WireType.Varint).int64(seconds);
      if (nanos !== 0) out.tag(2, WireType.Varint).int32(nanos);
      return asBuffer(out.join().finish());
    },
    responseDeserialize(bytes) {
      let expiresAt = 0;
      read(bytes, (field, wire, reader) => {
        if (field !== 1 || wire !== WireType.LengthDelimited) return false;
        read(reader.bytes(), (part, kind, inner) => {
          if (kind !== WireType.Varint || part > 2) return false;
          expiresAt += part === 1 ? Number(inner.int64()) * 1000 : inner.int32() / 1_000_000;
          return true;
        });
        return true;
      });
      return { expiresAt };
    },
  },
};

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function read(bytes: Uint8Array, take: (field: number, wire: WireType, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (!take(field, wire, reader)) reader.skip(wire, field);
  }
}
