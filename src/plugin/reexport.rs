//! Makes the functions that a component lifts quicker to find.
//!
//! For each call wasmtime looks up the code of the called function anew, unless the function is one that its module
//! imported. So another core module is put between, which imports the functions that are lifted and exports them
//! again: it has no code, and a call goes where it went before. It brings 65 of 335 ns for a plugin that looks at the
//! topic, 70 of 430 for one that reads 256 bytes (`cargo bench --bench hooks`), and 800 of 3,900 instructions.
//!
//! Nothing depends on it: a component of a form that is not known here is left as it is.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, ReencodeComponent, component_utils};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ComponentSectionId, EntityType,
    ExportKind, ExportSection, ImportSection, InstanceSection, Module, ModuleArg, ModuleSection, RawSection,
    TypeSection, ValType,
};
use wasmparser::{
    CanonicalFunction, Chunk, ComponentAlias, ComponentCanonicalSectionReader, ExternalKind, FuncType,
    Instance, Parser, Payload, TypeRef,
};

/// Part of the name under which compiled code is kept: to be changed with what is written here.
pub(super) const FORM: &str = "reexport 1";

/// The component with the module put between; none where there is nothing to be gained, or its form is not known.
pub(super) fn reexport(component: &[u8]) -> Option<Vec<u8>> {
    let sections = sections(component)?;
    let layout = Layout::of(component, &sections)?;
    let lifted = layout.lifted()?;
    write(component, sections, &layout, &lifted)
}

/// The sections of a component; those of the modules and components in it are not among them.
fn sections(component: &[u8]) -> Option<Vec<Payload<'_>>> {
    let (mut parser, mut rest, mut sections) = (Parser::new(0), component, Vec::new());
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true).ok()? else { return None };
        rest = &rest[consumed..];
        match &payload {
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                rest = rest.get(unchecked_range.len()..)?;
            }
            Payload::End(_) => return Some(sections),
            _ => {}
        }
        sections.push(payload);
    }
}

/// What of a component is numbered, and where it first lifts functions.
#[derive(Default)]
struct Layout<'a> {
    modules: Vec<&'a [u8]>,
    /// The number of the module of each, if it was made from one.
    instances: Vec<Option<u32>>,
    /// Instance and name of each, if it is an export of an instance.
    functions: Vec<Option<(u32, &'a str)>>,
    /// Numbers of the functions.
    lifted: BTreeSet<u32>,
    /// Before the first section that lifts: that section, and how many instances and functions there are.
    place: Option<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    section: usize,
    instances: u32,
    functions: u32,
}

/// A function that is lifted.
struct Lifted<'a> {
    number: u32,
    instance: u32,
    name: &'a str,
    signature: FuncType,
}

impl<'a> Layout<'a> {
    fn of(component: &'a [u8], sections: &[Payload<'a>]) -> Option<Layout<'a>> {
        let mut layout = Layout::default();
        for (number, section) in sections.iter().enumerate() {
            match section {
                // Its number would be another behind the new module.
                Payload::ModuleSection { .. } if layout.place.is_some() => return None,
                Payload::ModuleSection { unchecked_range, .. } => {
                    layout.modules.push(component.get(unchecked_range.clone())?);
                }
                Payload::InstanceSection(instances) => {
                    for instance in instances.clone() {
                        layout.instances.push(match instance.ok()? {
                            Instance::Instantiate { module_index, .. } => Some(module_index),
                            Instance::FromExports(_) => None,
                        });
                    }
                }
                Payload::ComponentAliasSection(aliases) => {
                    for alias in aliases.clone() {
                        if let ComponentAlias::CoreInstanceExport {
                            kind: ExternalKind::Func,
                            instance_index,
                            name,
                        } = alias.ok()?
                        {
                            layout.functions.push(Some((instance_index, name)));
                        }
                    }
                }
                Payload::ComponentCanonicalSection(functions) => layout.add_canonical(number, functions)?,
                _ => {}
            }
        }
        Some(layout)
    }

    fn add_canonical(
        &mut self,
        section: usize,
        functions: &ComponentCanonicalSectionReader<'a>,
    ) -> Option<()> {
        let place =
            Place { section, instances: self.instances.len() as u32, functions: self.functions.len() as u32 };
        for function in functions.clone() {
            match function.ok()? {
                CanonicalFunction::Lift { core_func_index, .. } => {
                    self.place.get_or_insert(place);
                    self.lifted.insert(core_func_index);
                }
                // All others make a core function.
                _ => self.functions.push(None),
            }
        }
        Some(())
    }

    fn lifted(&self) -> Option<Vec<Lifted<'a>>> {
        let place = self.place?;
        let find = |&number: &u32| {
            let (instance, name) = (*self.functions.get(number as usize)?)?;
            let module = self.instances[..place.instances as usize].get(instance as usize)?.as_ref()?;
            let signature = signature(self.modules.get(*module as usize)?, name)?;
            Some(Lifted { number, instance, name, signature })
        };
        self.lifted.iter().map(find).collect()
    }
}

/// Of a function that a module exports.
fn signature(module: &[u8], name: &str) -> Option<FuncType> {
    let (mut types, mut functions) = (Vec::new(), Vec::new());
    for section in Parser::new(0).parse_all(module) {
        match section.ok()? {
            Payload::TypeSection(section) => {
                for one in section.into_iter_err_on_gc_types() {
                    types.push(one.ok()?);
                }
            }
            Payload::ImportSection(section) => {
                for one in section.into_imports() {
                    if let TypeRef::Func(signature) = one.ok()?.ty {
                        functions.push(signature);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for one in section {
                    functions.push(one.ok()?);
                }
            }
            Payload::ExportSection(section) => {
                let mut exports = section.into_iter().filter_map(Result::ok);
                let export = exports.find(|it| it.kind == ExternalKind::Func && it.name == name)?;
                let number = *functions.get(export.index as usize)?;
                return types.get(number as usize).cloned();
            }
            _ => {}
        }
    }
    None
}

fn write(
    component: &[u8],
    sections: Vec<Payload<'_>>,
    layout: &Layout<'_>,
    lifted: &[Lifted<'_>],
) -> Option<Vec<u8>> {
    let place = layout.place?;
    let mut renumber = Renumber::new(place, lifted);
    let mut written = Component::new();
    for (number, section) in sections.into_iter().enumerate() {
        if number == place.section {
            put_between(&mut written, layout.modules.len() as u32, place, lifted)?;
        }
        match section {
            Payload::Version { .. } => {}
            Payload::ModuleSection { unchecked_range, .. } => {
                let data = component.get(unchecked_range)?;
                written.section(&RawSection { id: ComponentSectionId::CoreModule as u8, data });
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                let data = component.get(unchecked_range)?;
                written.section(&RawSection { id: ComponentSectionId::Component as u8, data });
            }
            section @ (Payload::ComponentCanonicalSection(_)
            | Payload::ComponentAliasSection(_)
            | Payload::InstanceSection(_)) => {
                renumber.parse_component_payload(&mut written, section, component).ok()?;
            }
            section => {
                let (id, range) = section.as_section()?;
                written.section(&RawSection { id, data: component.get(range)? });
            }
        }
    }
    Some(written.finish())
}

/// Writes the module, what it imports, its instance, and the names of what that exports.
fn put_between(written: &mut Component, module: u32, place: Place, lifted: &[Lifted<'_>]) -> Option<()> {
    let names: Vec<String> = (0..lifted.len()).map(|number| number.to_string()).collect();
    written.section(&ModuleSection(&module_between(&names, lifted)?));

    let mut aliases = ComponentAliasSection::new();
    for Lifted { instance, name, .. } in lifted {
        aliases.alias(Alias::CoreInstanceExport { instance: *instance, kind: ExportKind::Func, name });
    }
    written.section(&aliases);

    let mut instances = InstanceSection::new();
    let imports = names.iter().enumerate().map(|(number, name)| (name, place.functions + number as u32));
    instances.export_items(imports.map(|(name, number)| (&**name, ExportKind::Func, number)));
    instances.instantiate(module, [("", ModuleArg::Instance(place.instances))]);
    written.section(&instances);

    let mut aliases = ComponentAliasSection::new();
    let instance = place.instances + 1;
    for name in &names {
        aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name });
    }
    written.section(&aliases);
    Some(())
}

/// Exports what it imports.
fn module_between(names: &[String], lifted: &[Lifted<'_>]) -> Option<Module> {
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    let mut exports = ExportSection::new();
    let values = |types: &[wasmparser::ValType]| -> Option<Vec<ValType>> {
        types.iter().map(|&it| ValType::try_from(it).ok()).collect()
    };
    for ((name, Lifted { signature, .. }), number) in names.iter().zip(lifted).zip(0..) {
        types.ty().function(values(signature.params())?, values(signature.results())?);
        imports.import("", name, EntityType::Function(number));
        exports.export(name, ExportKind::Func, number);
    }
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&exports);
    Some(module)
}

/// Gives what comes after the place its new numbers, and has the exports of the module between lifted.
struct Renumber {
    place: Place,
    added_functions: u32,
    in_place_of: HashMap<u32, u32>,
}

impl Renumber {
    fn new(place: Place, lifted: &[Lifted<'_>]) -> Renumber {
        let count = lifted.len() as u32;
        let in_place_of = lifted.iter().map(|it| it.number).zip(place.functions + count..).collect();
        Renumber { place, added_functions: 2 * count, in_place_of }
    }
}

impl Reencode for Renumber {
    type Error = Infallible;

    fn function_index(&mut self, number: u32) -> Result<u32, reencode::Error<Infallible>> {
        Ok(if number < self.place.functions { number } else { number + self.added_functions })
    }
}

impl ReencodeComponent for Renumber {
    fn instance_index(&mut self, number: u32) -> u32 {
        if number < self.place.instances { number } else { number + 2 }
    }

    fn parse_component_canonical(
        &mut self,
        section: &mut CanonicalFunctionSection,
        function: CanonicalFunction,
    ) -> Result<(), reencode::Error<Infallible>> {
        if let CanonicalFunction::Lift { core_func_index, type_index, options } = &function
            && let Some(&between) = self.in_place_of.get(core_func_index)
        {
            let options: Result<Vec<_>, _> =
                options.iter().map(|option| self.canonical_option(*option)).collect();
            section.lift(between, *type_index, options?);
            return Ok(());
        }
        component_utils::parse_component_canonical(self, section, function)
    }
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        CodeSection, ComponentExportKind, ComponentExportSection, ComponentTypeSection, ComponentValType,
        Function, FunctionSection, PrimitiveValType,
    };
    use wasmtime::Store;
    use wasmtime::component::Linker;

    use super::*;

    /// Exports `five`, `six` and `seven`, which return the numbers.
    fn numbers() -> Module {
        let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
        let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
        types.ty().function([], [ValType::I32]);
        for (number, (name, value)) in (0..).zip([("five", 5), ("six", 6), ("seven", 7)]) {
            functions.function(0);
            exports.export(name, ExportKind::Func, number);
            let mut function = Function::new([]);
            function.instructions().i32_const(value).end();
            code.function(&function);
        }
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&exports).section(&code);
        module
    }

    /// Lifts two of them, each right behind its alias, as `wit-component` does; `further` is put between.
    fn component(further: impl FnOnce(&mut Component)) -> Vec<u8> {
        let mut component = Component::new();
        component.section(&ModuleSection(&numbers()));
        let mut instances = InstanceSection::new();
        instances.instantiate::<_, &str>(0, []);
        component.section(&instances);
        let mut types = ComponentTypeSection::new();
        let u32 = ComponentValType::Primitive(PrimitiveValType::U32);
        types.function().params([] as [(&str, ComponentValType); 0]).result(Some(u32));
        component.section(&types);
        lift(&mut component, 0, "five");
        further(&mut component);
        lift(&mut component, 1, "seven");
        component.finish()
    }

    fn lift(component: &mut Component, number: u32, name: &str) {
        let mut aliases = ComponentAliasSection::new();
        aliases.alias(Alias::CoreInstanceExport { instance: 0, kind: ExportKind::Func, name });
        component.section(&aliases);
        let mut functions = CanonicalFunctionSection::new();
        functions.lift(number, 0, []);
        component.section(&functions);
        let mut exports = ComponentExportSection::new();
        // An export takes a number as well.
        exports.export(name, ComponentExportKind::Func, 2 * number, None);
        component.section(&exports);
    }

    /// Instance and name of what is lifted.
    fn lifted(component: &[u8]) -> Vec<(u32, String)> {
        let lifted = Layout::of(component, &sections(component).unwrap()).unwrap();
        let export = |&number: &u32| lifted.functions[number as usize].unwrap();
        lifted.lifted.iter().map(export).map(|(instance, name)| (instance, name.to_owned())).collect()
    }

    #[test]
    fn what_is_lifted_is_an_export_of_the_module_between_and_does_what_it_did() {
        let before = component(|_| ());
        assert_eq!(lifted(&before), [(0, "five".to_owned()), (0, "seven".to_owned())]);
        let after = reexport(&before).unwrap();
        assert_eq!(lifted(&after), [(2, "0".to_owned()), (2, "1".to_owned())]);

        let engine = super::super::engine::engine().unwrap();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let component = wasmtime::component::Component::new(&engine, after).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        for (name, value) in [("five", 5), ("seven", 7)] {
            let function = instance.get_typed_func::<(), (u32,)>(&mut store, name).unwrap();
            assert_eq!(function.call(&mut store, ()).unwrap(), (value,));
        }
    }

    #[test]
    fn a_component_of_another_form_stays_as_it_is() {
        assert_eq!(reexport(b"\0asm\x0d\0\x01\0"), None, "it lifts nothing");
        assert_eq!(reexport(b"\0asm\x01\0\0\0"), None, "it is no component");
        let module_behind = component(|component| {
            component.section(&ModuleSection(&numbers()));
        });
        assert_eq!(reexport(&module_behind), None);
        let whole = component(|_| ());
        for end in 0..whole.len() {
            // A part that ends with a section may be a component.
            let _ = reexport(&whole[..end]);
        }
    }
}
