// Who asks: a bearer token, or a W&B key as any of the clients sends it.

import { createContextKey } from "@connectrpc/connect";
import { error } from "./errors.js";

export const userKey = createContextKey("nobody", { description: "whose call it is" });

export class Auth {
	// Both lists of secrets; each is a user, all of one organisation.
	constructor(tokens, wandbKeys) {
		this.tokens = new Map(tokens.map((token, i) => [token, `user-${i + 1}`]));
		this.wandbKeys = new Map(wandbKeys.map((key, i) => [key, `wandb-${i + 1}`]));
	}

	user(header) {
		const authorization = header.get("authorization");
		const key = header.get("x-api-key") ?? header.get("x-wandb-api-key");
		const user = authorization !== null ? this.tokens.get(authorization.match(/^Bearer (.*)$/i)?.[1]) : this.wandbKeys.get(key);
		if (!user)
			throw error({ code: "unauthenticated", message: authorization === null && key === null ? "no credentials" : "credentials not valid" });
		return user;
	}
}
