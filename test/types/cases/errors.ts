import { deny, type Reason } from '#dist/errors.js';

export const denial = deny('TOKEN_EXPIRED', 'exp passed 3 s ago');
// @ts-expect-error: a reason that is not in the table
deny('TOKEN_STALE', '');
// @ts-expect-error: a denial without its detail
deny('TOKEN_EXPIRED');
// @ts-expect-error: codes are not text
export const reason: Reason = 'anything' as string;
