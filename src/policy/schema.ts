/**
 * An API as the policy sees it, whatever it was loaded from: services, methods, what their annotations say, and the
 * shape of their requests.
 *
 * @module
 */

import type { MethodPolicy, ServicePolicy } from './gen/zerotrust/v1/options_pb.js';

/** What kind of value a field holds. `other`: bytes, bool, float, double, map, group. */
export type FieldKind = 'string' | 'integer' | 'enum' | 'message' | 'other';

/** One field of a message. */
export interface FieldModel {
  /** As written in proto: `project_id`. */
  readonly name: string;
  readonly number: number;
  readonly kind: FieldKind;
  readonly repeated: boolean;
  /** The real oneof it belongs to (not the synthetic one of proto3 `optional`); `null` when none. */
  readonly oneof: string | null;
  /** The type of a message field; a thunk, since messages may contain themselves. `null` for other kinds. */
  readonly message: (() => MessageModel) | null;
  /** Names of enum values by number; `null` for other kinds. */
  readonly enumNames: ReadonlyMap<number, string> | null;
  /** `(zerotrust.v1.field).sensitive`. */
  readonly sensitive: boolean;
}

/** One message type. */
export interface MessageModel {
  /** Without a leading dot: `tasks.v1.GetTaskRequest`. */
  readonly typeName: string;
  readonly fields: ReadonlyMap<string, FieldModel>;
}

/** One RPC. */
export interface MethodModel {
  readonly name: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly input: MessageModel;
  /** `null`: not annotated. */
  readonly policy: MethodPolicy | null;
  /** Where it stands: `file.proto:12` where the line is known, else `file.proto`. */
  readonly place: string;
}

/** One service. */
export interface ServiceModel {
  readonly typeName: string;
  readonly methods: readonly MethodModel[];
  /** `null`: not annotated. */
  readonly policy: ServicePolicy | null;
  readonly place: string;
}
