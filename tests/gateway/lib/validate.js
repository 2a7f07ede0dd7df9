// What a specification must be like to be taken.

import path from "node:path";
import { enumeration } from "./schema.js";
import { invalid, refusal, unimplemented } from "./errors.js";

const Mode = enumeration("SandboxMode");
const Visibility = enumeration("Visibility");
const Protocol = enumeration("ServiceProtocol");
const EndpointKind = enumeration("EndpointKind");
const EndpointAuth = enumeration("EndpointAuth");
const LIFETIME_MAX = 30 * 86400;
const CEILING = { cpu: 64, memory: 512 * 2 ** 30 };
const units = { "": 1, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
	Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 };

function need(value, field) {
	if (!value)
		throw invalid(field, "is required");
}

function absolute(text, field) {
	if (!text.startsWith("/") || text.includes("\0") || path.posix.normalize(text).replace(/(.)\/$/, "$1") !== text.replace(/(.)\/$/, "$1"))
		throw invalid(field, "must be an absolute path without . and ..");
}

// "500m" -> 0.5
export function quantity(text, field) {
	const parts = text.match(/^(\d+(?:\.\d+)?)([mkMGTPE]|[KMGTPE]i|)$/);
	if (!parts)
		throw invalid(field, `"${text}" is not a quantity`);
	return parts[1] * units[parts[2]];
}

function resources(side, field) {
	for (const name of ["cpu", "memory"])
		if (side?.[name] && quantity(side[name], `${field}.${name}`) > CEILING[name])
			throw refusal("RESOURCE_CEILING_EXCEEDED", `${field}.${name}: ${side[name]} is over the platform ceiling`);
}

function requirements(container, at) {
	const { resources: guaranteed, resourceRequirements: asked } = container;
	if (guaranteed && asked)
		throw invalid(`${at}.resources`, "excludes resource_requirements");
	resources(guaranteed, `${at}.resources`);
	resources(asked?.requests, `${at}.resource_requirements.requests`);
	resources(asked?.limits, `${at}.resource_requirements.limits`);
	for (const name of ["cpu", "memory"])
		if (asked?.requests?.[name] && asked.limits?.[name] && quantity(asked.requests[name], at) > quantity(asked.limits[name], at))
			throw invalid(`${at}.resource_requirements.requests.${name}`, "is over the limit");
}

function environment(variables, field) {
	for (const [name, value] of Object.entries(variables))
		if (!name || name.includes("=") || `${name}${value}`.includes("\0"))
			throw invalid(field, `"${name}" is not the name of a variable, or its value holds a NUL`);
}

function container(one, at, volumes, secrets) {
	need(one.name, `${at}.name`);
	need(one.image, `${at}.image`);
	requirements(one, at);
	environment(one.environmentVariables, `${at}.environment_variables`);
	if ([one.command, ...one.args].some((word) => word.includes("\0")))
		throw invalid(`${at}.args`, "holds a NUL");
	if (one.args.length && !one.command)
		throw invalid(`${at}.args`, "without a command");
	if (one.workingDir)
		absolute(one.workingDir, `${at}.working_dir`);
	one.files.forEach((file, i) => absolute(file.path, `${at}.files[${i}].path`));
	one.volumeMounts.forEach((mount, i) => {
		absolute(mount.mountPath, `${at}.volume_mounts[${i}].mount_path`);
		if (mount.mountPath === "/" || /^\/(proc|sys|dev|etc|usr)(\/|$)/.test(mount.mountPath))
			throw invalid(`${at}.volume_mounts[${i}].mount_path`, `${mount.mountPath} cannot be a mount point`);
		if (!volumes.has(mount.volume))
			throw invalid(`${at}.volume_mounts[${i}].volume`, `no volume is called ${mount.volume}`);
		if (mount.subPath)
			throw unimplemented("sub_path");
	});
	for (const { storeName } of one.secretStores)
		if (!(storeName in secrets))
			throw refusal("SECRET_STORE_NOT_PROVISIONED", `no secret store is called ${storeName}`);
}

function services(list) {
	const seen = new Set();
	list.forEach((one, i) => {
		const at = `services[${i}]`;
		if (one.port < 1 || one.port > 65535)
			throw invalid(`${at}.port`, "must be 1 to 65535");
		seen.add(one.visibility);
		if (!one.endpoint)
			return;
		need(one.endpoint.kind, `${at}.endpoint.kind`);
		if (one.endpoint.kind !== EndpointKind.HTTPS || one.endpoint.auth !== EndpointAuth.OPEN)
			throw unimplemented("endpoints other than HTTPS with auth OPEN");
		if (one.visibility !== Visibility.PUBLIC || one.protocol > Protocol.TCP)
			throw invalid(`${at}.endpoint`, "needs visibility PUBLIC and TCP");
	});
	if (seen.has(Visibility.PUBLIC) && seen.has(Visibility.PRIVATE))
		throw unimplemented("PUBLIC and PRIVATE services in one sandbox");
}

function placement(spec) {
	const ids = spec.runnerIds;
	if (ids.length && spec.mode !== Mode.CKS)
		throw invalid("spec.runner_ids", "need mode CKS");
	if (ids.length > 100 || new Set(ids).size !== ids.length || ids.some((id) => !id.trim()))
		throw invalid("spec.runner_ids", "must be at most 100, unique and not blank");
}

function egress(network) {
	if (network?.denyEgress && network.egress.length)
		throw invalid("network.deny_egress", "excludes rules");
	for (const { destination } of network?.egress ?? [])
		if (destination.case === "dnsName" && !/^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+$/.test(destination.value))
			throw invalid("network.egress.dns_name", `"${destination.value}" is not a name`);
}

// Throws what is wrong with it. secrets: the stores there are.
export function validate(spec, secrets) {
	need(spec, "sandbox.spec");
	need(spec.containers.length, "spec.containers");
	if (spec.containers.length > 1 && !spec.containers.some((one) => one.name === spec.primaryContainer))
		throw invalid("spec.primary_container", "must name one of the containers");
	if (spec.maxLifetimeSeconds < 0 || spec.maxLifetimeSeconds > LIFETIME_MAX)
		throw invalid("spec.max_lifetime_seconds", `must be 0 to ${LIFETIME_MAX}`);
	for (const tag of spec.tags)
		if (tag.length > 59 || !/^[A-Za-z0-9._-]*[A-Za-z0-9]$/.test(tag))
			throw invalid("spec.tags", `"${tag}" is not a tag`);
	if (spec.initContainers.length)
		throw unimplemented("init containers");
	spec.volumes.forEach((volume, i) => need(volume.name, `spec.volumes[${i}].name`));
	const volumes = new Map(spec.volumes.map((volume) => [volume.name, volume]));
	spec.containers.forEach((one, i) => container(one, `spec.containers[${i}]`, volumes, secrets));
	services(spec.services);
	placement(spec);
	egress(spec.network);
}
