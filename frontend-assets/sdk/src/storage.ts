// What is kept over a reload: the session, and messages that aren't sent yet.

/** A small store of values that can be cloned. Injectable; every method may reject, or never answer. */
export interface Storage {
  /** Every entry whose key begins with `prefix`, in the order of the keys. */
  entries(prefix: string): Promise<[key: string, value: unknown][]>;
  set(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<void>;
}

/** Keeps nothing over a reload. For Node, tests, and whoever shall be forgotten with the page. */
export function memoryStorage(): Storage {
  const kept = new Map<string, unknown>();
  return {
    async entries(prefix) {
      const found = [...kept].filter(([key]) => key.startsWith(prefix));
      return structuredClone(found.sort(([a], [b]) => (a < b ? -1 : 1)));
    },
    async set(key, value) {
      kept.set(key, structuredClone(value));
    },
    async delete(key) {
      kept.delete(key);
    },
  };
}

const STORE = "kept";

/**
 * Keeps everything in a database of this origin, which all its windows share.
 *
 * @param name of the database; another one for each of several servers
 */
export function indexedDbStorage(name = "tertulia"): Storage {
  let opened: Promise<IDBDatabase> | undefined;

  function open(): Promise<IDBDatabase> {
    opened ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const database = request.result;
        const forget = () => (opened = undefined);
        database.onclose = forget;
        // Somebody deletes the database, or brings a newer one: this window must not stand in the way.
        database.onversionchange = () => {
          database.close();
          forget();
        };
        resolve(database);
      };
    }).catch((error: unknown) => {
      // The next call tries anew.
      opened = undefined;
      throw error;
    });
    return opened;
  }

  async function run<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => () => T): Promise<T> {
    const database = await open();
    return new Promise((resolve, reject) => {
      let transaction;
      try {
        transaction = database.transaction(STORE, mode);
      } catch (error) {
        // It is closing, or was made by another program: the next call opens it anew.
        opened = undefined;
        throw error;
      }
      const result = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(result());
      transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
    });
  }

  return {
    entries: (prefix) =>
      run("readonly", (store) => {
        const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
        const keys = store.getAllKeys(range);
        const values = store.getAll(range);
        return () => keys.result.map((key, index) => [String(key), values.result[index]]);
      }),
    set: (key, value) =>
      run("readwrite", (store) => {
        store.put(value, key);
        return () => undefined;
      }),
    delete: (key) =>
      run("readwrite", (store) => {
        store.delete(key);
        return () => undefined;
      }),
  };
}

/** Writes to a storage one after the other, so that nothing is put back after it was deleted. Nobody waits for them. */
export class Writes {
  #last: Promise<void> = Promise.resolve();

  add(work: () => Promise<void>): void {
    this.#last = this.#last.then(work);
  }

  /** When all until now are done. */
  get done(): Promise<void> {
    return this.#last;
  }
}
