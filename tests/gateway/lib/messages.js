// Counting the messages of a stream: envelopes of one byte of flags, four of length, and so many more.

export async function* counting(body, count) {
	let head = [];
	let left = 0; // of the message that is going by
	for await (const chunk of body) {
		for (let at = 0; at < chunk.length; ) {
			if (left > 0) {
				const step = Math.min(left, chunk.length - at);
				left -= step;
				at += step;
				continue;
			}
			head.push(chunk[at++]);
			if (head.length === 5) {
				left = head[1] * 2 ** 24 + head[2] * 2 ** 16 + head[3] * 2 ** 8 + head[4];
				head = [];
				count();
			}
		}
		yield chunk;
	}
}
