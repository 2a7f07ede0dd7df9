// request_id: the same request again gets the answer of the first, also while that is being made.

import { toJsonString } from "@bufbuild/protobuf";
import { invalid } from "./errors.js";

const ID_BYTES_MAX = 128;

export class Idempotency {
	#known = new Map();

	// What `act` gives, or gave to this request before. Refuses the id of another request. A failure is not kept.
	async once(user, desc, request, act) {
		const id = request.requestId;
		if (!id)
			return act();
		if (Buffer.byteLength(id) > ID_BYTES_MAX)
			throw invalid("request_id", `longer than ${ID_BYTES_MAX} bytes`);
		const key = `${desc.typeName} ${user} ${id}`;
		const text = toJsonString(desc, request);
		const first = this.#known.get(key);
		if (first && first.text !== text)
			throw invalid("request_id", "was used by a different request");
		if (first)
			return first.answer;
		const answer = Promise.resolve().then(act);
		this.#known.set(key, { text, answer });
		answer.catch(() => this.#known.delete(key));
		return answer;
	}
}
