// SettingsService: what is set for the organisation. Records only.

import { error } from "./errors.js";
import { page } from "./pages.js";
import { enumeration, message } from "./schema.js";
import { timestamp } from "./time.js";

const BucketMode = enumeration("FileSystemSnapshotBucketMode");

function missing(what) {
	return error({ code: "not_found", message: `there is no ${what}` });
}

function secretStores({ settings }) {
	const records = new Map();
	let number = 0;
	const add = (name, more) => {
		settings.secrets[name] ??= {};
		records.set(name, { number: ++number, ...more, name, createTime: timestamp(), updateTime: timestamp() });
		return records.get(name);
	};
	const find = (name) => {
		if (!records.has(name))
			throw missing(`secret store ${name}`);
		return records.get(name);
	};
	for (const name of Object.keys(settings.secrets))
		add(name, {});
	return {
		createSecretStore({ secretStore }) {
			if (records.has(secretStore.name))
				throw error({ code: "already_exists", message: `a secret store is called ${secretStore.name}` });
			return add(secretStore.name, secretStore);
		},
		getSecretStore: ({ name }) => find(name),
		listSecretStores(request) {
			const { items, nextPageToken } = page(message("ListSecretStoresRequest"), request, [...records.values()], settings.pageSize);
			return { secretStores: items, nextPageToken };
		},
		updateSecretStore: ({ secretStore }) =>
			Object.assign(find(secretStore.name), { providerConfig: secretStore.providerConfig, updateTime: timestamp() }),
		deleteSecretStore({ name, allowMissing }) {
			if (!allowMissing)
				find(name);
			records.delete(name);
			delete settings.secrets[name];
			return {};
		},
	};
}

export function settingsService(gateway) {
	let wif;
	let bucket = { bucketName: "", region: "" };
	const told = () => ({ ...bucket, mode: bucket.bucketName ? BucketMode.BRING_YOUR_OWN : BucketMode.CW_MANAGED,
		effectiveBucketName: bucket.bucketName || "snapshots" });
	return {
		...secretStores(gateway),
		getObjectStorageWifConfig() {
			if (!wif)
				throw missing("object storage configuration");
			return wif;
		},
		updateObjectStorageWifConfig({ objectStorageWifConfig: given }) {
			wif = { ...given, wifConfigId: "wif-1", createTime: wif?.createTime ?? timestamp(), updateTime: timestamp() };
			return wif;
		},
		deleteObjectStorageWifConfig({ allowMissing }) {
			if (!wif && !allowMissing)
				throw missing("object storage configuration");
			wif = undefined;
			return {};
		},
		getFileSystemSnapshotBucketConfig: () => told(),
		updateFileSystemSnapshotBucketConfig({ fileSystemSnapshotBucketConfig: { bucketName, region } }) {
			bucket = { bucketName, region };
			return told();
		},
	};
}
