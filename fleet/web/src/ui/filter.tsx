// A text that narrows a list, applied by Enter. "/" on the keyboard goes to it.
import { useState } from "preact/hooks";

interface FilterProps {
  name: string;
  label: string;
  placeholder: string;
  // What applies now.
  value: string;
  onApply: (text: string) => void;
}

// Begins anew when something else applies.
export const Filter = (props: FilterProps) => <FilterForm key={props.value} {...props} />;

function FilterForm({ name, label, placeholder, value, onApply }: FilterProps) {
  const [text, setText] = useState(value);
  return (
    <form
      class="filter"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onApply(text.trim());
      }}
    >
      <input
        name={name}
        data-filter
        aria-label={label}
        placeholder={placeholder}
        value={text}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button>Filter</button>
      {value && (
        <button type="button" onClick={() => onApply("")}>
          Clear
        </button>
      )}
    </form>
  );
}
