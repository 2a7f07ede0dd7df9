// relay.mjs TARGET-PORT LATENCY-MS: a way to a server on this machine that takes so long for a round trip.
// Prints its own port. For benchmarks of others; the gateway has such a way of its own.

import { Weather } from "./lib/weather.js";

const [target, latencyMs] = process.argv.slice(2).map(Number);
const weather = new Weather(target);

weather.change({ latencyMs });
console.log(await weather.listen(0));
