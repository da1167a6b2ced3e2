// Claims against the codec `Chosen`, which writes a length in each way that `prefixes` gives. Included once for each codec.

/// Makes all of them; returns how many.
pub(crate) fn checked() -> usize {
    let checked = text_and_bytes() + sequences() + maps() + nested() + without_bytes();
    memory_that_runs_out_is_an_error();
    checked
}

fn text_and_bytes() -> usize {
    refused::<String>(&[])
        + refused::<Box<str>>(&[])
        + refused::<Vec<u8>>(&[])
        + refused::<Box<[u8]>>(&[])
        + refused::<CString>(&[])
        + refused::<PathBuf>(&[])
        + refused::<Option<String>>(&[1])
        + refused::<(u8, String)>(&[7])
}

fn sequences() -> usize {
    refused::<Vec<u64>>(&[])
        + refused::<Vec<[u64; 32]>>(&[])
        + refused::<Vec<String>>(&[])
        + refused::<VecDeque<u32>>(&[])
        + refused::<LinkedList<u8>>(&[])
        + refused::<BinaryHeap<u8>>(&[])
        + refused::<HashSet<u8>>(&[])
        + refused::<BTreeSet<String>>(&[])
}

fn maps() -> usize {
    refused::<HashMap<String, String>>(&[])
        + refused::<HashMap<u8, Vec<u8>>>(&[])
        + refused::<BTreeMap<u64, u64>>(&[])
        + refused::<HashMap<u8, ()>>(&[])
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Named { inner: Vec<Kind>, text: String },
}

fn nested() -> usize {
    refused::<Vec<Vec<String>>>(&[1])
        + refused::<Vec<Vec<Vec<u8>>>>(&[1, 1])
        + refused::<HashMap<u8, HashMap<String, u8>>>(&[1, 9])
        + refused::<Kind>(&[0])
        + refused::<Kind>(&[0, 0])
        + refused::<Kind>(&[0, 1, 0])
}

/// Takes no bytes in a message, and many in memory.
#[derive(Serialize, Deserialize)]
struct Padded {
    #[serde(skip)]
    _padding: Option<[u128; 32]>,
}

/// Elements that take no bytes: as many as there may be are no error, more are.
fn without_bytes() -> usize {
    let most = u64::try_from(Chosen::MAX_EMPTY).unwrap();
    claims_above::<Vec<()>>(&[], most)
        + claims_above::<Vec<PhantomData<u64>>>(&[], most)
        + claims_above::<HashMap<(), ()>>(&[], most)
        + claims_above::<HashSet<()>>(&[], most)
        + claims_above::<Vec<Vec<()>>>(&[1], most)
        + claims_above::<Vec<Padded>>(&[], most / u64::try_from(size_of::<Padded>()).unwrap())
}

/// Checks that messages of `before`, then any claimed length, then too few bytes, are refused as a `T`.
fn refused<T: Serialize + DeserializeOwned>(before: &[u8]) -> usize {
    claims_above::<T>(before, 4)
}

fn claims_above<T: Serialize + DeserializeOwned>(before: &[u8], most: u64) -> usize {
    let queue = Queue::<T, Chosen>::anonymous(&MemoryTransport::new(), &QueueOptions::new()).unwrap();
    let mut checked = 0;
    for length in super::lengths().filter(|length| *length > most) {
        for prefix in prefixes(length) {
            for after in [&[][..], &[1, 1], &[0, 0, 0, 0]] {
                is_refused(&queue, &[before, &prefix, after].concat());
                checked += 1;
            }
        }
    }
    checked
}

fn is_refused<T: Serialize + DeserializeOwned>(queue: &Queue<T, Chosen>, message: &[u8]) {
    queue.channel().put(&[message], Wait::No).unwrap();
    let Err(error) = queue.try_get() else { panic!("{message:?} became a {}", std::any::type_name::<T>()) };
    assert!(error.is_decode(), "{error}");
    assert_eq!(error.bytes(), Some(message));
    assert_eq!(error.into_bytes().unwrap(), message);
    assert_eq!(queue.len().unwrap(), 0);
}

/// Writes the same text many times, so that its bytes need more memory than it has itself.
#[derive(Deserialize)]
struct Repeated(String);

impl Serialize for Repeated {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(std::iter::repeat_n(&self.0, 4096))
    }
}

fn memory_that_runs_out_is_an_error() {
    let options = QueueOptions::new();
    let queue = Queue::<Repeated, Chosen>::anonymous(&MemoryTransport::new(), &options).unwrap();
    let error = queue.put(Repeated("x".repeat(1 << 20))).unwrap_err();
    assert!(error.backend().is_some_and(|error| error.is_no_room()), "{error}");
    assert_eq!(error.into_inner().0.len(), 1 << 20);
    assert!(queue.put(Repeated(String::new())).is_ok(), "the queue does not work after memory ran out");
}
